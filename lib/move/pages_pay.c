/* SPDX-License-Identifier: MIT */
#include "lib/move/pages.h"

#define ROUND_WORTH 5 /* so many times what it spares the freeze a round may take */

bool pages_round_pays(const struct pages_stats *first, const struct pages_stats *before, const struct pages_stats *last)
{
	double more = (double)first->changed - (double)last->changed, changed = (double)last->changed;

	if (more <= 0 || first->ms <= last->ms)
		return false;
	double page_ms = (first->ms - last->ms) / more;      /* of one that changed; looking at all comes on top */
	double per_ms = changed / before->ms;                /* pages written */
	double left = per_ms * last->ms;                     /* by now */
	double next_ms = last->ms - (changed - left) * page_ms;
	double fewer = left - per_ms * next_ms;              /* than now, after the next round */

	return fewer * page_ms * ROUND_WORTH > next_ms;
}
