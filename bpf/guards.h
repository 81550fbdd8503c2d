/* SPDX-License-Identifier: MIT */
/* What guards.bpf.c says of each guard that was put somewhere. */
#ifndef EDGE_BPF_GUARDS_H
#define EDGE_BPF_GUARDS_H

struct guard_told {
	unsigned long long pid; /* of the process, in its namespace */
	unsigned long long start, bytes;
};

#endif
