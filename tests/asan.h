/* SPDX-License-Identifier: MIT */
/* Put before every source by `make asan`: what the sanitizers do, also in programs whose environment nobody of us makes.
 * Leaks are not looked for: programs that end at once leave their memory to the kernel. */
#ifndef EDGE_TESTS_ASAN_H
#define EDGE_TESTS_ASAN_H

const char *__asan_default_options(void);

__attribute__((weak)) const char *__asan_default_options(void)
{
	return "detect_leaks=0:abort_on_error=0:exitcode=70:strict_string_checks=1:detect_stack_use_after_return=1";
}

#endif
