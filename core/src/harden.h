/* The hardened build (HG_HARDENED=1): one shadow byte for every 16 bytes of region says what begins
 * there, so that double frees, invalid frees and frees with a wrong layout are caught exactly,
 * across threads too; the first bytes of freed small blocks are filled, and checked when the slot
 * is used again. In the plain build everything here compiles to nothing. */
#ifndef HG__HARDEN_H
#define HG__HARDEN_H

#include "arena.h"

enum {
    HG__SHADOW_NONE = 0x00,  /* nothing began here since the memory became a slab or run */
    HG__SHADOW_FREED = 0x7f, /* a small block began here and was freed; its fill is in place */
    HG__SHADOW_LIVE = 0x80,  /* | class: a live block begins here; class 0 is large */
    HG__ANY_CLASS = 0xff,    /* the caller of free does not say the size */
    HG__FILL = 0xdf,
    HG__FILL_MAX = 256, /* bytes filled and checked at a block's start */
};

#if HG_HARDENED
/* A block is handed out: checks its fill, marks it live. */
void hg__harden_alloc(struct hg__arena *a, void *p, unsigned class);
/* A block comes back as `class` (HG__ANY_CLASS: any): aborts unless it is live and of that class.
 */
void hg__harden_free(struct hg__arena *a, void *p, unsigned class);
/* A block changes its class where it stands: aborts unless it is live. */
void hg__harden_resize(struct hg__arena *a, void *p, unsigned class);
/* The memory goes back to the arena, whose shadow is all NONE, or to the system. */
void hg__harden_forget(struct hg__arena *a, const void *p, size_t size);
#else
static inline void hg__harden_alloc(struct hg__arena *a, void *p, unsigned class) {
    (void)a, (void)p, (void)class;
}
static inline void hg__harden_free(struct hg__arena *a, void *p, unsigned class) {
    (void)a, (void)p, (void)class;
}
static inline void hg__harden_resize(struct hg__arena *a, void *p, unsigned class) {
    (void)a, (void)p, (void)class;
}
static inline void hg__harden_forget(struct hg__arena *a, const void *p, size_t size) {
    (void)a, (void)p, (void)size;
}
#endif
#endif
