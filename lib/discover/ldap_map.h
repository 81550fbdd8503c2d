/* SPDX-License-Identifier: MIT */
/* What members of a node record are called in a directory (examples/edge.schema): RFC 4512 attributes of an edgeDevice. */
#ifndef EDGE_DISCOVER_LDAP_MAP_H
#define EDGE_DISCOVER_LDAP_MAP_H

#include "lib/base/json.h"

enum ldap_type { LDAP_TEXT, LDAP_WHOLE, LDAP_NUMBER, LDAP_WORDS };

struct ldap_attribute {
	const char *name, *member;
	enum ldap_type type; /* LDAP_WORDS: a value each */
};

extern const struct ldap_attribute ldap_attributes[]; /* ends with a NULL name */

/* The entry (RFC 2849) by which a node registers itself below `base`, the distinguished name of its place. The caller frees
 * it. EX_DATAERR for a record without a name, EX_USAGE for a base that is none. */
char *ldap_entry(const struct json *node, const char *base, struct err *e);

#endif
