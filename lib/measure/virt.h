/* SPDX-License-Identifier: MIT */
#ifndef EDGE_MEASURE_VIRT_H
#define EDGE_MEASURE_VIRT_H

/* What this system runs in: "docker", "podman", "lxc", ... or "container"; else "kvm", "vmware", "hyper-v", "xen", "vm" or
 * another name of a hypervisor; "none" on bare metal. Static text. */
const char *virt_name(void);

#endif
