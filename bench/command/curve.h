/* Curves of a cell, from one run beside the timed ones: latency by percentile, footprint over
 * operations. Their JSON is described in results/schema/curves.schema.json. */
#ifndef HG_CURVE_H
#define HG_CURVE_H

#include "command.h"

enum hg_curve_kind { HG_CURVE_NONE, HG_CURVE_LATENCY, HG_CURVE_FOOTPRINT };

/* What a child found out, in memory shared with it. */
struct hg_curve;

/* Room for one; NULL iff there is no memory. */
struct hg_curve *hg_curve_create(void);

/* In the child: the backend to use instead of `backend`; NULL iff it can't be had. Then around the
 * workload, where not even its hooks do it (a trace): start, stop. */
const hg_backend *hg_curve_wrap(struct hg_curve *curve, enum hg_curve_kind kind,
                                const hg_backend *backend);
void hg_curve_start(void);
void hg_curve_stop(void);

/* In the child, at the end: gathers what was recorded. */
void hg_curve_gather(struct hg_curve *curve);

/* Puts "latency": {...} or "footprint": {...} into an open object; nothing if there is none. */
void hg_curve_json(hg_json *json, const struct hg_curve *curve);

#endif
