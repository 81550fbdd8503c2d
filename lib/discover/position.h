/* SPDX-License-Identifier: MIT */
/* Where an IP address is, by a table of networks: a MaxMind database (GeoLite2, DB-IP: any with location.latitude), or, where
 * the file's name ends in .csv, lines "NETWORK,LATITUDE,LONGITUDE" for private networks (the narrowest network holds;
 * empty lines and those that begin with # or letters are passed over). */
#ifndef EDGE_DISCOVER_POSITION_H
#define EDGE_DISCOVER_POSITION_H

#include "lib/base/auto.h"
#include "lib/base/err.h"
#include "lib/base/json.h"

struct position;

/* EX_DATAERR "FILE: line 3: ..." for what is malformed. */
int position_open(struct position **p, const char *path, struct err *e);
void position_free(struct position *p);
AUTO_DEFINE(struct position, position_free)
#define AUTO_POSITION AUTO(position_free_auto)

/* Degrees north and east. 1 found; 0 not in the table, or not an address. */
int position_find(const struct position *p, const char *addr, double *lat, double *lon);
/* Gives a record that has "addr" and no "geo" its geo.lat and geo.lon, where they are known: 1, else 0. */
int position_add(const struct position *p, struct json *rec);

#endif
