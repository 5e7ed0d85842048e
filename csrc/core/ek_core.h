/* ek_core.h: what every domain stands on.
 *   status   ek_status, ek_strstatus
 *   arena    aligned scratch with mark/reset
 *   cpu      which instruction sets may be used (EK_PICK)
 *   pool     ek_parallel_for, interruption, thread count
 * No Python here and no other domain. Lengths are size_t, strides count elements. */
#ifndef EK_CORE_H
#define EK_CORE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __GNUC__
#define EK_CHECK __attribute__((warn_unused_result))
#else
#define EK_CHECK
#endif

/* ------------------------------------------------------------------ status */
typedef enum {
    EK_OK = 0,
    EK_ENOMEM,    /* scratch could not be had */
    EK_ESHAPE,    /* a length or stride that the contract forbids */
    EK_EVALUE,    /* a parameter outside its range */
    EK_EIO,       /* the operating system refused a read */
    EK_EFORMAT,   /* bytes that are not what they claim to be */
    EK_EINTR,     /* the caller asked to stop (Ctrl-C) */
    EK_EINTERNAL, /* a defect of ours */
} ek_status;

const char *ek_strstatus(ek_status st);

/* ------------------------------------------------------------------- arena
 * Scratch for one call. Blocks are 64-byte aligned; memory given out stays put until a reset below
 * it. Large chunks ask for huge pages. Not shared between threads: every pool worker has its own.
 */
typedef struct ek_arena ek_arena;

ek_arena *ek_arena_new(void);
void ek_arena_free(ek_arena *a);
size_t ek_arena_mark(const ek_arena *a);
void ek_arena_reset(ek_arena *a, size_t mark);
void *ek_arena_alloc(ek_arena *a, size_t count,
                     size_t size); /* NULL: out of memory or count*size overflows */
float *ek_arena_f32(ek_arena *a, size_t count);
double *ek_arena_f64(ek_arena *a, size_t count);
size_t ek_arena_bytes(const ek_arena *a); /* bytes held, used or not */

/* 64-byte aligned memory for long-lived objects (packed weights); huge pages from 2 MiB up. */
void *ek_aligned_alloc(size_t bytes);
void ek_aligned_free(void *p);

/* --------------------------------------------------------------------- cpu */
enum {
    EK_CPU_AVX2 = 1u,   /* AVX2 + FMA + F16C + BMI2 */
    EK_CPU_AVX512 = 2u, /* AVX-512 F, VL, DQ, BW (and all of the above) */
};

unsigned ek_cpu_available(void); /* what this machine can run */
unsigned ek_cpu_active(void);    /* what kernels may use now */
void ek_cpu_use(unsigned mask);  /* masked by ek_cpu_available */
int ek_cpu_dots_bf16(void);      /* AVX-512 is in use, and this machine has its bfloat16 part */

/* Best variant of a table {need, fn} that ends with {0, ref}. */
#define EK_PICK(TABLE)                                                                             \
    __extension__({                                                                                \
        const unsigned ek_active_ = ek_cpu_active();                                               \
        size_t ek_i_ = 0;                                                                          \
        while ((TABLE)[ek_i_].need & ~ek_active_) ek_i_++;                                         \
        (TABLE)[ek_i_].fn;                                                                         \
    })

/* -------------------------------------------------------------------- pool
 * ek_parallel_for cuts 0..n into pieces of `grain` (the cut depends on n and grain alone, so
 * results have the same bits for any thread count) and runs fn on each, on the calling thread and
 * the pool's workers. Nested calls, and calls made while another thread holds the pool, run on the
 * calling thread alone. A piece that fails stops the rest; the status of the lowest failing piece
 * seen is returned. Between pieces the caller's poll hook is asked whether to stop: keep a piece
 * under about 50 ms. */
typedef ek_status (*ek_body)(void *ctx, size_t begin, size_t end, ek_arena *tmp);

EK_CHECK ek_status ek_parallel_for(size_t n, size_t grain, ek_body fn, void *ctx);
EK_CHECK ek_status
ek_poll(void); /* for long serial loops: EK_EINTR when the caller wants to stop */

size_t ek_threads_get(void);   /* process setting; the affinity count unless set */
void ek_threads_set(size_t n); /* 0: back to the affinity count */
size_t ek_threads_affinity(void);
size_t ek_threads_now(void); /* what ek_parallel_for would use here */

/* A run scope belongs to one call from outside: thread limit (0 = process setting) and a poll hook
 * that returns non-zero to stop. It lives on the calling thread; scopes nest. The hook is called at
 * most every 20 ms. */
typedef struct ek_scope {
    size_t threads;
    int (*poll)(void *arg);
    void *arg;
    int64_t last_poll_ns;
    int stopped;
    struct ek_scope *outer;
} ek_scope;

void ek_scope_enter(ek_scope *s, size_t threads, int (*poll)(void *), void *arg);
void ek_scope_leave(ek_scope *s);

/* Scratch for the calling thread, kept for its next call (bounded); give it back when done. */
ek_arena *ek_arena_borrow(void);
void ek_arena_return(ek_arena *a);

#endif
