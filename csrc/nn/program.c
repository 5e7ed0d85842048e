#include "nn_step.h"
#include <stdatomic.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct ek_nn {
    ek_nn_buf *bufs;
    size_t nbufs, slots, block;
    ek_nn_step *steps;
    size_t nsteps, cap;
    size_t arena;      /* floats of one block */
    size_t *slot_size; /* per slot: floats of one sample */
    const ek_nn_isa *isa;
};

#define EK_NN_POINTER(name) &ek_nn_##name,
static const ek_nn_op *const OPS[] = {EK_NN_OPS(EK_NN_POINTER)};
#undef EK_NN_POINTER

static const ek_nn_isa *pick_isa(void) {
    static const struct {
        unsigned need;
        const ek_nn_isa *fn;
    } ISA[] = {
        {EK_CPU_AVX512, &ek_nn_isa_avx512},
        {EK_CPU_AVX2,   &ek_nn_isa_avx2  },
        {0,             &ek_nn_isa_ref   },
    };
    return EK_PICK(ISA);
}

size_t ek_nn_width(void) {
    return pick_isa()->width;
}

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- building ---- */

static int mul3(size_t a, size_t b, size_t c, size_t *out) {
    return __builtin_mul_overflow(a, b, out) || __builtin_mul_overflow(*out, c, out);
}

static ek_status measure(ek_nn_buf *b) {
    const size_t limit = (size_t)1 << 40;
    size_t rows;
    if ((b->lanes != 1 && b->lanes != EK_LANES) || b->w > limit || b->h > limit ||
        b->left > limit || b->right > limit || b->top > limit || b->bottom > limit || b->c > limit)
        return EK_EVALUE;
    b->blocks = b->lanes == 1 ? b->c : ek_nn_ceil(b->c, EK_LANES);
    b->pitch = (b->left + b->w + b->right) * b->lanes;
    rows = b->top + b->h + b->bottom;
    if (mul3(b->pitch, rows, 1, &b->plane) || mul3(b->plane, b->blocks, 1, &b->item) ||
        b->item > INT32_MAX || mul3(b->item, b->items, 1, &b->size) || b->size > limit)
        return EK_ESHAPE;
    b->origin = b->top * b->pitch + b->left * b->lanes;
    return EK_OK;
}

ek_status ek_nn_new(const ek_nn_buf *bufs, size_t nbufs, size_t slots, size_t block, ek_nn **out) {
    ek_nn *p = calloc(1, sizeof *p);
    if (p == NULL) return EK_ENOMEM;
    ek_status st = EK_ENOMEM;
    p->isa = pick_isa();
    p->slots = slots;
    p->block = block ? block : 1;
    p->nbufs = nbufs;
    p->bufs = calloc(nbufs + 1, sizeof *p->bufs);
    p->slot_size = calloc(slots + 1, sizeof *p->slot_size);
    if (p->bufs == NULL || p->slot_size == NULL || slots == 0) goto fail;
    for (size_t i = 0; i < nbufs; i++) {
        ek_nn_buf *b = &p->bufs[i];
        *b = bufs[i];
        st = measure(b);
        if (st == EK_OK && b->slot >= slots) st = EK_EVALUE;
        if (st == EK_OK && b->slot != EK_NN_ARENA &&
            (b->lanes != 1 || ek_nn_has_border(b) || b->offset))
            st = EK_EVALUE;
        if (st != EK_OK) goto fail;
        if (b->slot == EK_NN_ARENA) {
            size_t end;
            st = EK_ESHAPE;
            if (b->offset > ((size_t)1 << 40) || mul3(b->size + b->offset, p->block, 1, &end) ||
                b->offset % EK_LANES)
                goto fail;
            b->offset *= p->block; /* the block's samples of a buffer lie side by side */
            if (end > p->arena) p->arena = end;
        } else {
            p->slot_size[b->slot] = b->size;
        }
    }
    *out = p;
    return EK_OK;
fail:
    ek_nn_free(p);
    return st;
}

void ek_nn_free(ek_nn *p) {
    if (p == NULL) return;
    for (size_t i = 0; i < p->nsteps; i++) ek_aligned_free(p->steps[i].data);
    free(p->steps);
    free(p->bufs);
    free(p->slot_size);
    free(p);
}

ek_status ek_nn_add(ek_nn *p, const char *op, const ek_nn_args *args) {
    if (args->nbufs > EK_NN_MAX_BUFS) return EK_EVALUE;
    if (p->nsteps == p->cap) {
        const size_t cap = p->cap ? 2 * p->cap : 16;
        ek_nn_step *grown = realloc(p->steps, cap * sizeof *grown);
        if (grown == NULL) return EK_ENOMEM;
        p->steps = grown;
        p->cap = cap;
    }
    ek_nn_step s = {.isa = p->isa,
                    .nbufs = args->nbufs,
                    .earlier = p->steps,
                    .nearlier = p->nsteps};
    for (size_t i = 0; i < sizeof OPS / sizeof *OPS; i++)
        if (strcmp(OPS[i]->name, op) == 0) s.op = OPS[i];
    if (s.op == NULL) return EK_EVALUE;
    for (size_t i = 0; i < args->nbufs; i++) {
        if (args->bufs[i] == SIZE_MAX) continue;
        if (args->bufs[i] >= p->nbufs) return EK_EVALUE;
        s.buf[i] = &p->bufs[args->bufs[i]];
    }
    const ek_status st = s.op->init(&s, args);
    if (st != EK_OK) {
        ek_aligned_free(s.data);
        return st;
    }
    s.earlier = NULL;
    s.nearlier = 0;
    p->steps[p->nsteps++] = s;
    return EK_OK;
}

size_t ek_nn_steps(const ek_nn *p) {
    return p->nsteps;
}

size_t ek_nn_slots(const ek_nn *p) {
    return p->slots;
}

size_t ek_nn_slot_size(const ek_nn *p, size_t slot) {
    return p->slot_size[slot];
}

size_t ek_nn_weight_bytes(const ek_nn *p) {
    size_t bytes = 0;
    for (size_t i = 0; i < p->nsteps; i++) bytes += p->steps[i].data_bytes;
    return bytes;
}

size_t ek_nn_arena_bytes(const ek_nn *p) {
    return p->arena * sizeof(float);
}

const char *ek_nn_isa_name(const ek_nn *p) {
    return p->isa->name;
}

void ek_nn_zero_border(const ek_nn_buf *b, float *base, size_t begin, size_t end) {
    const size_t left = b->left * b->lanes, right = b->right * b->lanes, head = b->top * b->pitch;
    for (size_t i = begin * b->blocks; i < end * b->blocks; i++) {
        float *plane = base + i * b->plane;
        memset(plane, 0, head * sizeof(float));
        memset(plane + head + b->h * b->pitch, 0, b->bottom * b->pitch * sizeof(float));
        if (left + right == 0) continue;
        for (size_t y = 0; y < b->h; y++) {
            float *row = plane + head + y * b->pitch;
            memset(row, 0, left * sizeof(float));
            memset(row + b->pitch - right, 0, right * sizeof(float));
        }
    }
}

ek_nn_sweep ek_nn_sweep_of(const ek_nn_call *c, const ek_nn_buf *const *bufs, size_t count) {
    enum { FLOATS = 8192 };
    ek_nn_sweep w = {.flat = 1};
    for (size_t i = 0; i < count; i++)
        if (ek_nn_has_border(bufs[i])) w.flat = 0;
    const ek_nn_buf *b = bufs[0];
    if (w.flat) {
        w.units = ek_nn_ceil(c->n * b->size, FLOATS);
        w.per_unit = w.row = FLOATS;
        w.rows = 1;
    } else {
        w.units = c->n * b->items * b->blocks;
        w.rows = b->h;
        w.row = b->w * b->lanes;
    }
    return w;
}

double ek_nn_peak(void) {
    enum { K = 128, REPEAT = 400, ROUNDS = 12 };
    static const ek_run run = {0, K};
    _Alignas(64) float a[EK_TILE_ROWS * K], b[K * 2 * EK_LANES], bias[2 * EK_LANES] = {0};
    float out[EK_TILE_ROWS * 2 * EK_LANES];
    const float *rows[EK_TILE_ROWS];
    float *outs[EK_TILE_ROWS];
    const ek_nn_isa *isa = pick_isa();
    for (size_t i = 0; i < EK_TILE_ROWS * K; i++) a[i] = 0.5f;
    for (size_t i = 0; i < K * 2 * EK_LANES; i++) b[i] = 0.25f;
    for (size_t r = 0; r < EK_TILE_ROWS; r++) rows[r] = a + r * K, outs[r] = out + r * 2 * EK_LANES;
    ek_tile t = {
        .a = rows, .c = outs, .b = b, .bias = bias, .run = &run, .runs = 1, .rows = isa->rows};
    t.columns = 2 * isa->width;
    t.c_step = (ptrdiff_t)isa->width;
    t.hi = __builtin_inff();
    t.lo = -t.hi;
    double best = 0.0;
    for (size_t i = 0; i < ROUNDS; i++) {
        const double start = seconds();
        for (size_t k = 0; k < REPEAT; k++) isa->tile(&t);
        const double rate =
            2.0 * (double)(t.rows * t.columns * K * REPEAT) / (seconds() - start) * 1e-9;
        if (rate > best) best = rate;
    }
    return best;
}

/* ---- running ---- */

typedef struct {
    const ek_nn *p;
    float *const *arrays;
    size_t n, first; /* samples in all; the first one of this part */
    size_t block;    /* samples that go through the steps together */
    double *times;
} run_job;

enum { MAX_SLOTS = 64 };

static void place(const run_job *j, size_t sample, float *arena, float **base) {
    base[EK_NN_ARENA] = arena;
    for (size_t s = 1; s < j->p->slots; s++) base[s] = j->arrays[s] + sample * j->p->slot_size[s];
}

/* Blocks begin..end, each through all steps on this thread. */
static ek_status run_blocks(void *ctx, size_t begin, size_t end, ek_arena *tmp) {
    const run_job *j = ctx;
    const ek_nn *p = j->p;
    float *base[MAX_SLOTS];
    float *arena = ek_arena_f32(tmp, p->arena);
    ek_status st = arena == NULL ? EK_ENOMEM : EK_OK;
    for (size_t b = begin; b < end && st == EK_OK; b++) {
        const size_t sample = j->first + b * j->block;
        const size_t n = j->n - sample < j->block ? j->n - sample : j->block;
        place(j, sample, arena, base);
        const ek_nn_call call = {p, p->isa, base, n, 1};
        for (size_t i = 0; i < p->nsteps && st == EK_OK; i++) {
            const ek_nn_step *s = &p->steps[i];
            const size_t mark = ek_arena_mark(tmp);
            const double start = j->times ? seconds() : 0.0;
            st = s->op->run(s, &call, 0, s->op->units(s, &call), tmp);
            if (j->times) j->times[i] += seconds() - start;
            ek_arena_reset(tmp, mark);
            if (st == EK_OK) st = ek_poll();
        }
    }
    return st;
}

/* One block shared by several threads. Every thread walks the same list of steps. A step's units
 * are cut into one range per thread, the same way in every step, so that a thread mostly reads what
 * it wrote; whoever is done with its own range helps with the others', and goes on when all units
 * of the step are done. A thread that comes late finds the steps finished; nobody waits for a
 * thread that never comes. */
typedef struct {
    _Alignas(64) _Atomic size_t next, done; /* per step and thread */
} share;

typedef struct {
    const ek_nn *p;
    const ek_nn_call *call;
    share *shares; /* (steps, threads) */
    _Atomic int failed;
} crew_job;

static inline void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

static size_t all_done(const share *shares, size_t threads) {
    size_t done = 0;
    for (size_t t = 0; t < threads; t++)
        done += atomic_load_explicit(&shares[t].done, memory_order_acquire);
    return done;
}

static ek_status crew(void *ctx, size_t member, size_t end, ek_arena *tmp) {
    crew_job *j = ctx;
    const size_t threads = j->call->threads;
    (void)end;
    for (size_t i = 0; i < j->p->nsteps; i++) {
        const ek_nn_step *s = &j->p->steps[i];
        const size_t units = s->op->units(s, j->call);
        share *shares = j->shares + i * threads;
        for (size_t v = 0; v < threads; v++) {
            const size_t whose = (member + v) % threads;
            const size_t first = units * whose / threads, last = units * (whose + 1) / threads;
            for (;;) {
                const size_t u = first + atomic_fetch_add(&shares[whose].next, 1);
                if (u >= last || atomic_load(&j->failed)) break;
                const size_t mark = ek_arena_mark(tmp);
                ek_status st = s->op->run(s, j->call, u, u + 1, tmp);
                ek_arena_reset(tmp, mark);
                if (st == EK_OK) st = ek_poll();
                if (st != EK_OK) {
                    atomic_store(&j->failed, 1);
                    return st;
                }
                atomic_fetch_add_explicit(&shares[member].done, 1, memory_order_release);
            }
        }
        for (size_t spin = 0; all_done(shares, threads) < units; spin++) {
            if (atomic_load(&j->failed)) return EK_OK;
            if (spin > 40000) /* about a millisecond: a yield costs a busy machine's time slice */
                sched_yield();
            else
                relax();
        }
    }
    return EK_OK;
}

static ek_status run_shared(const run_job *j, size_t sample, size_t threads) {
    const ek_nn *p = j->p;
    ek_arena *tmp = ek_arena_borrow();
    if (tmp == NULL) return EK_ENOMEM;
    ek_status st = EK_ENOMEM;
    float *base[MAX_SLOTS];
    float *arena = ek_arena_f32(tmp, p->arena);
    share *shares = ek_arena_alloc(tmp, (p->nsteps + 1) * threads, sizeof *shares);
    if (arena != NULL && shares != NULL) {
        for (size_t i = 0; i < p->nsteps * threads; i++) {
            atomic_init(&shares[i].next, 0);
            atomic_init(&shares[i].done, 0);
        }
        place(j, sample, arena, base);
        const size_t n = j->n - sample < j->block ? j->n - sample : j->block;
        const ek_nn_call call = {p, p->isa, base, n, threads};
        crew_job c = {.p = p, .call = &call, .shares = shares};
        atomic_init(&c.failed, 0);
        st = ek_parallel_for(threads, 1, crew, &c);
    }
    ek_arena_return(tmp);
    return st;
}

ek_status ek_nn_run(const ek_nn *p, size_t n, float *const *arrays, double *times) {
    if (p->slots > MAX_SLOTS) return EK_EVALUE;
    const size_t threads = times ? 1 : ek_threads_now();
    const size_t even =
        ek_nn_ceil(n ? n : 1, threads); /* a small batch is spread over the threads */
    run_job j = {p, arrays, n, 0, even < p->block ? even : p->block, times};
    j.block = ek_nn_ceil(n ? n : 1, ek_nn_ceil(n ? n : 1, j.block)); /* blocks of one size */
    const size_t blocks = ek_nn_ceil(n, j.block);
    if (times) {
        ek_arena *tmp = ek_arena_borrow();
        const ek_status st = tmp == NULL ? EK_ENOMEM : run_blocks(&j, 0, blocks, tmp);
        ek_arena_return(tmp);
        return st;
    }
    /* Whole rounds: a block per thread. What is left over is shared, one block after the other. */
    const size_t whole = blocks / threads * threads;
    ek_status st = ek_parallel_for(whole, 1, run_blocks, &j);
    for (size_t b = whole; b < blocks && st == EK_OK; b++)
        st = run_shared(&j, b * j.block, threads);
    return st;
}
