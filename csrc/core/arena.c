/* Chunked bump allocator. A mark is the count of bytes in use, so it stays valid when chunks are
 * added. */
#include "ek_core.h"
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { ALIGN = 64, HUGE_PAGE = 2 << 20, FIRST_CHUNK = 256 << 10 };

typedef struct chunk {
    unsigned char *base;
    size_t start; /* bytes of all chunks before this one */
    size_t cap;
    struct chunk *prev;
} chunk;

struct ek_arena {
    chunk *top;
    size_t used; /* from the arena's beginning, in the coordinates of chunk.start */
};

void *ek_aligned_alloc(size_t bytes) {
    if (bytes > SIZE_MAX / 2) return NULL;
    const size_t align = bytes >= HUGE_PAGE ? (size_t)HUGE_PAGE : (size_t)ALIGN;
    const size_t size = (bytes + ALIGN - 1) / ALIGN * ALIGN;
    void *p;
    if (posix_memalign(&p, align, size ? size : align) != 0) return NULL;
    if (align == HUGE_PAGE) /* whole ones alone: the rest would take a huge page of its own */
        (void)madvise(p, bytes / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
    return p;
}

void ek_aligned_free(void *p) {
    free(p);
}

ek_arena *ek_arena_new(void) {
    return calloc(1, sizeof(ek_arena));
}

static void drop_top(ek_arena *a) {
    chunk *c = a->top;
    a->top = c->prev;
    ek_aligned_free(c->base);
    free(c);
}

void ek_arena_free(ek_arena *a) {
    if (a == NULL) return;
    while (a->top != NULL) drop_top(a);
    free(a);
}

size_t ek_arena_mark(const ek_arena *a) {
    return a->used;
}

/* Chunks above the mark go, except that an empty arena keeps its newest (largest) chunk for the
 * next call. */
void ek_arena_reset(ek_arena *a, size_t mark) {
    a->used = mark;
    while (a->top != NULL && a->top->prev != NULL && a->top->start >= mark) {
        if (mark == 0) {
            chunk *old = a->top->prev;
            a->top->prev = old->prev;
            ek_aligned_free(old->base);
            free(old);
            if (a->top->prev == NULL) a->top->start = 0;
        } else {
            drop_top(a);
        }
    }
}

void *ek_arena_alloc(ek_arena *a, size_t count, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes) || bytes > SIZE_MAX / 4) return NULL;
    bytes = (bytes + ALIGN - 1) / ALIGN * ALIGN;
    if (bytes == 0) bytes = ALIGN;
    chunk *c = a->top;
    if (c == NULL || a->used - c->start + bytes > c->cap) {
        size_t cap = c ? c->cap * 2 : (size_t)FIRST_CHUNK;
        if (cap < bytes) cap = bytes;
        if (cap >= HUGE_PAGE) cap = (cap + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
        chunk *fresh = malloc(sizeof *fresh);
        if (fresh == NULL) return NULL;
        fresh->base = ek_aligned_alloc(cap);
        if (fresh->base == NULL) {
            free(fresh);
            return NULL;
        }
        fresh->start = c ? c->start + c->cap : 0;
        fresh->cap = cap;
        fresh->prev = c;
        a->top = c = fresh;
        a->used = fresh->start;
    }
    void *p = c->base + (a->used - c->start);
    a->used += bytes;
    return p;
}

float *ek_arena_f32(ek_arena *a, size_t count) {
    return ek_arena_alloc(a, count, sizeof(float));
}

double *ek_arena_f64(ek_arena *a, size_t count) {
    return ek_arena_alloc(a, count, sizeof(double));
}

size_t ek_arena_bytes(const ek_arena *a) {
    return a->top ? a->top->start + a->top->cap : 0;
}
