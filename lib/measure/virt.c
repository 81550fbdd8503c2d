/* SPDX-License-Identifier: MIT */
#include "lib/measure/virt.h"

#include <string.h>
#include <unistd.h>
#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#endif

#include "lib/base/file.h"
#include "lib/measure/machine.h"

/* A manager of containers tells the first process in its environment (only root can read it), or leaves a file. */
static const char *container(void)
{
	static char name[32];
	AUTO_FILE FILE *f = fopen("/proc/1/environ", "re");
	AUTO_FREE char *word = NULL;
	size_t room = 0;

	while (f && getdelim(&word, &room, 0, f) > 0)
		if (!strncmp(word, "container=", 10)) {
			snprintf(name, sizeof(name), "%s", word[10] ? word + 10 : "container");
			return name;
		}
	if (!access("/.dockerenv", F_OK))
		return "docker";
	return access("/run/.containerenv", F_OK) ? NULL : "podman";
}

static const char *hypervisor(void)
{
#if defined(__x86_64__) || defined(__i386__)
	static const struct {
		const char *says, *name;
	} known[] = { { "KVMKVMKVM", "kvm" },	 { "Microsoft Hv", "hyper-v" }, { "VMwareVMware", "vmware" },
		      { "XenVMMXenVMM", "xen" }, { "TCGTCGTCGTCG", "qemu" },	{ "bhyve bhyve ", "bhyve" },
		      { "ACRNACRNACRN", "acrn" } };
	unsigned a, says[4] = { 0 };

	__cpuid(1, a, says[0], says[1], says[2]);
	if (!(says[1] & 1u << 31)) /* ecx: there is a hypervisor */
		return "none";
	memset(says, 0, sizeof(says));
	__cpuid(0x40000000, a, says[0], says[1], says[2]);
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (!strcmp((const char *)says, known[i].says))
			return known[i].name;
	return "vm";
#else
	AUTO_FREE char *tree = machine_line("/sys/firmware/devicetree/base/hypervisor/compatible");
	AUTO_FREE char *product = machine_line("/sys/class/dmi/id/product_name");
	AUTO_FREE char *maker = machine_line("/sys/class/dmi/id/sys_vendor");

	if (tree)
		return strstr(tree, "xen") ? "xen" : "kvm";
	if (product && strstr(product, "KVM"))
		return "kvm";
	return maker && (strstr(maker, "QEMU") || strstr(maker, "VMware")) ? "vm" : "none";
#endif
}

const char *virt_name(void)
{
	const char *name = container();

	return name ? name : hypervisor();
}
