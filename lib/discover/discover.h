/* SPDX-License-Identifier: MIT */
/* Nodes from elsewhere: a registry, the DNS, a file. */
#ifndef EDGE_DISCOVER_DISCOVER_H
#define EDGE_DISCOVER_DISCOVER_H

#include "lib/base/json.h"

/* An array of node records.
 * dir:, etcd:, etcds:, ldap: and ldaps: are registries (registry.h). "dns:NAME" and "dns://SERVER[:PORT]/NAME" (RFC 4501)
 * are the SRV records of a name, the most preferred first. "file:PATH" or a path is a file with node records, one a line
 * or as one array, or in the form of /etc/hosts; a folder is a registry.
 * EX_USAGE for another URL, EX_DATAERR "FILE: line N: ..." for what is malformed, EX_UNAVAILABLE. */
int discover(const char *url, struct json **nodes, struct err *e);

/* The parts that have files of their own. */
int discover_dns(const char *rest, struct json *nodes, struct err *e);
int discover_file(const char *path, struct json *nodes, struct err *e);

#endif
