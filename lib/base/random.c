/* SPDX-License-Identifier: MIT */
#include "lib/base/random.h"

#include <stdint.h>
#include <stdio.h>
#include <sys/random.h>

int random_hex(char *text, size_t bytes, struct err *e)
{
	uint8_t raw[RANDOM_BYTES_MAX];

	if (bytes > sizeof(raw) || getrandom(raw, bytes, 0) != (ssize_t)bytes)
		return err_sys(e, "no random numbers");
	for (size_t i = 0; i < bytes; i++)
		snprintf(text + 2 * i, 3, "%02x", raw[i]);
	return 0;
}
