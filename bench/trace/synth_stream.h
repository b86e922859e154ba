/* A stream of any length from a model, in memory that does not depend on the length.
 *
 * Phases follow one another as in the trace. Blocks are made in random order, but each phase makes as many
 * of each stratum as the trace did (an urn, drawn without putting back), so that what lives is what lived.
 * In a stream K times as long, short-lived blocks are made K times as often and live as long as they did;
 * long-lived ones are made as often as they were and live K times as long: live bytes keep their course.
 * In a shorter one (K < 1) fewer of both are made.
 *
 * What is due (a free, a reallocation) waits in a timer wheel (Varghese, Lauck 1987): constant time an
 * operation, one small record a live block. */
#ifndef HG_TRACE_SYNTH_STREAM_H
#define HG_TRACE_SYNTH_STREAM_H

#include "synth_model.h"

typedef struct hg_synth hg_synth;

/* NULL iff memory is short. The model must outlive it. */
hg_synth *hg_synth_open(const struct hg_model *model, uint64_t operation_count, uint64_t seed);
void hg_synth_close(hg_synth *synth);

/* The next operation. HG_END after the last one: after `operation_count`, or earlier if the model has
 * nothing that could be repeated; HG_ERR_MEMORY. */
HG_WARN_UNUSED enum hg_status hg_synth_next(hg_synth *synth, hg_op *op);

#endif
