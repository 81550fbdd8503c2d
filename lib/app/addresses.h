/* SPDX-License-Identifier: MIT */
/* Addresses for the services of an application that were given none, from the application's own range or from the upper half of
 * the bridge's network: those that no service of the registry or of this node has, and that nobody answers for. */
#ifndef EDGE_APP_ADDRESSES_H
#define EDGE_APP_ADDRESSES_H

#include "lib/app/compose.h"
#include "lib/discover/registry.h"

/* Sets "addr" of each service's definition, but of those that have no network; a service that is there already keeps its own.
 * Then "hosts", so that each finds the others by their names in the file. EX_UNAVAILABLE: there is no bridge and no range,
 * or no free address. */
int addresses_give(struct compose *c, struct registry *r, struct err *e);

#endif
