/* The layout face of the backend that HEAPGAUGE_BACKEND names, as plain functions. The rules are those
 * of backend.h; alloc_zeroed and realloc of a backend without them are made of alloc, copy and dealloc,
 * as Rust's GlobalAlloc does by default. Private to backends/ and to core/rust, which declares them. */
#ifndef HG_RUST_SHIM_H
#define HG_RUST_SHIM_H

#include "heapgauge/backend.h"

void *hg_any_alloc(hg_layout layout);
void *hg_any_alloc_zeroed(hg_layout layout);
void hg_any_dealloc(void *block, hg_layout layout);
void *hg_any_realloc(void *block, hg_layout old, size_t new_size);

#endif
