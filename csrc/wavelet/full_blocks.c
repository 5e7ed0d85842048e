/* The blocks of long signals, every sample or columns (float32). Blocks are cut the same way
 * wherever a call begins, so that parts put together have the bits of the whole. */
#include "full.h"
#include <math.h>
#include <string.h>

enum {
    CHUNK_FLOATS = 4 << 20,
    SPARSE = 6 /* samples per column from which on columns are alone */
};

typedef struct {
    const ek_lane_plan *plan;
    const ek_wavelet_blocks *blocks;
    const float *x;
    ek_full_what what;
    ek_full_fn fn;
    size_t stride, first; /* first: block of the chunk, counted over all signals */
    float *spectra;
    unsigned char *good;
    float *out;
} blocks_job;

static ek_status spectra_body(void *ctx, size_t begin, size_t end, ek_arena *tmp) {
    const blocks_job *j = ctx;
    const ek_wavelet_blocks *k = j->blocks;
    float *padded = ek_arena_f32(tmp, k->grid.length);
    if (padded == NULL) return EK_ENOMEM;
    for (size_t i = begin; i < end; i++) {
        const size_t block = j->first + i;
        ek_wavelet_stretch_f32(j->x + block / k->blocks * k->row, k, block % k->blocks, padded);
        j->good[i] = (unsigned char)ek_lane_finite(padded, k->grid.length);
        if (j->good[i]) ek_fft_run_f32(j->plan->forward, padded, j->spectra + i * j->stride);
    }
    return EK_OK;
}

/* Magnitude or power at sample i <= t of the block. */
static float one(const ek_full_row *row, ek_full_what what, const ek_full_scratch *s, size_t i) {
    const ek_full_table *table = row->table;
    float a, b;
    if (table->taps == 0) {
        a = s->y[2 * (table->bank->left + i)];
        b = s->y[2 * (table->bank->left + i) + 1];
    } else {
        const size_t wide = EK_FULL_WIDE, r = table->bank->nfft / table->length;
        const size_t v = i / wide, p = v % table->patterns, l = i % wide;
        const size_t at =
            (table->bank->left + v * wide) / r - table->bank->left / r + table->index[p * wide + l];
        const float *tap = table->tap + p * table->taps * wide + l;
        a = b = 0.0f;
        for (size_t k = 0; k < table->taps; k++) {
            a += s->re[at + k] * tap[k * wide];
            b += s->im[at + k] * tap[k * wide];
        }
    }
    return what == EK_FULL_POWER ? a * a + b * b : sqrtf(a * a + b * b);
}

/* The columns of one block. m: step + 1 floats. */
static void columns_of(const blocks_job *j, const ek_full_row *row, const ek_full_scratch *s,
                       size_t block, float *m, float *out) {
    const ek_wavelet_blocks *k = j->blocks;
    const ek_wavelet_columns *c = k->columns;
    const size_t step = k->grid.step, first = c->edge[block], last = c->edge[block + 1];
    const int sparse = (last - first) * SPARSE < step;
    if (!sparse) {
        ek_full_row_f32(j->plan, row, j->what, s, j->fn, m);
        m[step] = one(row, j->what, s, step);
    }
    for (size_t i = first; i < last; i++) {
        const size_t at = c->low[i] - block * step;
        const float low = sparse ? one(row, j->what, s, at) : m[at];
        const float high = sparse ? one(row, j->what, s, at + 1) : m[at + 1];
        out[i] = low + (float)c->frac[i] * (high - low);
    }
}

static ek_status rows_body(void *ctx, size_t begin, size_t end, ek_arena *tmp) {
    const blocks_job *j = ctx;
    const ek_wavelet_blocks *k = j->blocks;
    const size_t rows = j->plan->bank.rows, step = k->grid.step,
                 each = j->what == EK_FULL_COMPLEX ? 2 : 1;
    const size_t width = k->columns ? k->columns->count : each * k->t;
    ek_full_scratch s;
    float *m = ek_arena_f32(tmp, each * step + 1);
    if (m == NULL || ek_full_scratch_make(j->plan->full, &s, tmp) != EK_OK) return EK_ENOMEM;
    for (size_t item = begin; item < end; item++) {
        const size_t i = item / rows, signal = (j->first + i) / k->blocks,
                     block = (j->first + i) % k->blocks;
        const ek_full_row *row = &j->plan->full->row[item % rows];
        float *out = j->out + (signal * rows + item % rows) * width;
        const size_t now = k->t - block * step < step ? k->t - block * step : step;
        const size_t from = k->columns ? k->columns->edge[block] : each * block * step;
        const size_t count = k->columns ? k->columns->edge[block + 1] - from : each * now;
        if (!j->good[i]) {
            for (size_t o = 0; o < count; o++) out[from + o] = NAN;
            continue;
        }
        if (count == 0) continue;
        ek_full_short(row, j->spectra + i * j->stride, &s);
        if (k->columns) {
            columns_of(j, row, &s, block, m, out);
        } else if (now == step) {
            ek_full_row_f32(j->plan, row, j->what, &s, j->fn, out + from);
        } else {
            ek_full_row_f32(j->plan, row, j->what, &s, j->fn, m);
            memcpy(out + from, m, count * sizeof *out);
        }
    }
    return EK_OK;
}

ek_status ek_full_blocks(const float *x, const ek_wavelet_blocks *blocks,
                         const ek_wavelet_spec *spec, ek_full_what what, float *out) {
    ek_wavelet_spec inner = *spec;
    inner.pad = EK_PAD_ZERO; /* blocks hold their surroundings: one plan for every pad */
    const ek_lane_key key = {.t = blocks->grid.step,
                             .window = blocks->grid.step,
                             .spec = &inner,
                             .grid = &blocks->grid};
    ek_lane_plan *plan;
    ek_status st = ek_lane_plan_get(&key, &plan);
    if (st != EK_OK) return st;
    ek_arena *tmp = ek_arena_borrow();
    blocks_job j = {
        .plan = plan, .blocks = blocks, .x = x, .what = what, .fn = ek_full_pick(), .out = out};
    j.stride = (blocks->grid.length + 2 + 15) / 16 * 16;
    const size_t total = blocks->n * blocks->blocks;
    size_t chunk = CHUNK_FLOATS / j.stride + 1;
    if (chunk > total) chunk = total;
    if (tmp != NULL) {
        j.spectra = ek_arena_f32(tmp, chunk * j.stride);
        j.good = ek_arena_alloc(tmp, chunk, 1);
    }
    if (!j.spectra || !j.good) st = EK_ENOMEM;
    for (; st == EK_OK && j.first < total; j.first += chunk) {
        const size_t now = total - j.first < chunk ? total - j.first : chunk;
        st = ek_parallel_for(now, 1, spectra_body, &j);
        if (st == EK_OK) st = ek_parallel_for(now * spec->rows, 1, rows_body, &j);
    }
    ek_arena_return(tmp);
    ek_lane_plan_put(plan);
    return st;
}
