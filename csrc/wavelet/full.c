/* cwt and full-rate scalogram by short transforms; the reference of the interpolation. */
#include "full.h"
#include <math.h>
#include <string.h>

enum { LONGEST = 1 << 17, CHUNK_FLOATS = 4 << 20 };

void ek_full_row_ref(const ek_lane_plan *plan, const ek_full_row *row, ek_full_what what,
                     const float *re, const float *im, float *out) {
    const ek_full_table *table = row->table;
    const size_t wide = EK_FULL_WIDE, nfft = table->bank->nfft, t = plan->key.t;
    const float *turn = plan->full->turn[row->near];
    for (size_t i = 0; i < t; i++) {
        const size_t v = i / wide, p = v % table->patterns;
        const size_t at = table->base[v] + table->index[p * wide + i % wide];
        const float *tap = table->tap + p * table->taps * wide + i % wide;
        float a = 0.0f, b = 0.0f;
        for (size_t k = 0; k < table->taps; k++) {
            a += re[at + k] * tap[k * wide];
            b += im[at + k] * tap[k * wide];
        }
        if (what == EK_FULL_COMPLEX) {
            const float *w = turn + 2 * (row->centre * (table->bank->left + i) % nfft);
            out[2 * i] = a * w[0] - b * w[1];
            out[2 * i + 1] = a * w[1] + b * w[0];
        } else {
            out[i] = what == EK_FULL_POWER ? a * a + b * b : sqrtf(a * a + b * b);
        }
    }
}

typedef struct {
    const ek_lane_plan *plan;
    const float *x;
    ek_full_what what;
    ek_full_fn fn;
    size_t n, stride, near_stride;
    float *spectra, *near_spectra;
    unsigned char *good;
    float *out;
} full_job;

static ek_status spectra_body(void *ctx, size_t begin, size_t end, ek_arena *tmp) {
    const full_job *j = ctx;
    const ek_lane_plan *plan = j->plan;
    float *padded = ek_arena_f32(tmp, plan->bank.nfft);
    if (padded == NULL) return EK_ENOMEM;
    for (size_t i = begin; i < end; i++) {
        const float *x = j->x + i * plan->key.t;
        j->good[i] = (unsigned char)ek_lane_finite(x, plan->key.t);
        if (!j->good[i]) continue;
        ek_wavelet_pad_f32(x, &plan->bank, padded);
        ek_fft_run_f32(plan->forward, padded, j->spectra + i * j->stride);
        if (plan->near_bins == 0) continue;
        ek_wavelet_pad_f32(x, &plan->near, padded);
        ek_fft_run_f32(plan->forward_near, padded, j->near_spectra + i * j->near_stride);
    }
    return EK_OK;
}

/* The band times its weights, its centre at z[0]. */
static void product(const ek_full_row *row, const float *spectrum, float *z) {
    const size_t length = row->table->length;
    memset(z, 0, 2 * length * sizeof *z);
    const size_t negative = row->first < row->centre ? row->centre - row->first : 0;
    const size_t split = negative < row->count ? negative : row->count;
    const float *in = spectrum + 2 * row->first;
    float *to = z + 2 * (length - negative);
    for (size_t i = 0; i < split; i++) {
        to[2 * i] = in[2 * i] * row->weights[i];
        to[2 * i + 1] = in[2 * i + 1] * row->weights[i];
    }
    to = z + (row->first > row->centre ? 2 * (row->first - row->centre) : 0);
    for (size_t i = split; i < row->count; i++) {
        to[2 * (i - split)] = in[2 * i] * row->weights[i];
        to[2 * (i - split) + 1] = in[2 * i + 1] * row->weights[i];
    }
}

static void copy_all(const float *y, size_t t, ek_full_what what, float *out) {
    if (what == EK_FULL_COMPLEX) {
        memcpy(out, y, 2 * t * sizeof *out);
        return;
    }
    for (size_t i = 0; i < t; i++) out[i] = y[2 * i] * y[2 * i] + y[2 * i + 1] * y[2 * i + 1];
    if (what == EK_FULL_MAGNITUDE)
        for (size_t i = 0; i < t; i++) out[i] = sqrtf(out[i]);
}

ek_status ek_full_scratch_make(const ek_full *full, ek_full_scratch *s, ek_arena *tmp) {
    const size_t most = full->most_count + 2 * EK_FULL_WIDE;
    s->z = ek_arena_f32(tmp, 2 * full->longest);
    s->y = ek_arena_f32(tmp, 2 * full->longest);
    s->re = ek_arena_f32(tmp, most);
    s->im = ek_arena_f32(tmp, most);
    if (!s->z || !s->y || !s->re || !s->im) return EK_ENOMEM;
    memset(s->re, 0, most * sizeof *s->re); /* the slack is loaded, never used */
    memset(s->im, 0, most * sizeof *s->im);
    return EK_OK;
}

void ek_full_short(const ek_full_row *row, const float *spectrum, ek_full_scratch *s) {
    const ek_full_table *table = row->table;
    product(row, spectrum, s->z);
    ek_fft_run_f32(table->backward, s->z, s->y);
    for (size_t i = 0, from = table->start; table->taps && i < table->count; i++) {
        s->re[i] = s->y[2 * from];
        s->im[i] = s->y[2 * from + 1];
        from = from + 1 < table->length ? from + 1 : 0;
    }
}

void ek_full_row_f32(const ek_lane_plan *plan, const ek_full_row *row, ek_full_what what,
                     const ek_full_scratch *s, ek_full_fn fn, float *out) {
    if (row->table->taps == 0)
        copy_all(s->y + 2 * row->table->bank->left, plan->key.t, what, out);
    else
        fn(plan, row, what, s->re, s->im, out);
}

static ek_status rows_body(void *ctx, size_t begin, size_t end, ek_arena *tmp) {
    const full_job *j = ctx;
    const ek_lane_plan *plan = j->plan;
    const ek_full *full = plan->full;
    const size_t rows = plan->bank.rows, t = plan->key.t,
                 len = j->what == EK_FULL_COMPLEX ? 2 * t : t;
    ek_full_scratch s;
    const ek_status st = ek_full_scratch_make(full, &s, tmp);
    if (st != EK_OK) return st;
    for (size_t item = begin; item < end; item++) {
        const size_t signal = item / rows;
        const ek_full_row *row = &full->row[item % rows];
        float *out = j->out + item * len;
        if (!j->good[signal]) {
            for (size_t i = 0; i < len; i++) out[i] = NAN;
            continue;
        }
        ek_full_short(row,
                      row->near ? j->near_spectra + signal * j->near_stride
                                : j->spectra + signal * j->stride,
                      &s);
        ek_full_row_f32(plan, row, j->what, &s, j->fn, out);
    }
    return EK_OK;
}

ek_full_fn ek_full_pick(void) {
    static const struct {
        unsigned need;
        ek_full_fn fn;
    } ROWS[] = {
        {EK_CPU_AVX512, ek_full_row_avx512},
        {EK_CPU_AVX2,   ek_full_row_avx2  },
        {0,             ek_full_row_ref   },
    };
    return EK_PICK(ROWS);
}

ek_status ek_full_transform(const float *x, size_t n, size_t t, const ek_wavelet_spec *spec,
                            ek_full_what what, float *out) {
    if (t == 0 || t > LONGEST) return EK_EINTERNAL;
    const ek_lane_key key = {.t = t, .window = t, .spec = spec};
    ek_lane_plan *plan;
    ek_status st = ek_lane_plan_get(&key, &plan);
    if (st != EK_OK) return st;
    ek_arena *tmp = ek_arena_borrow();
    full_job j = {.plan = plan, .x = x, .what = what, .fn = ek_full_pick(), .out = out};
    j.stride = (plan->bank.nfft + 2 + 15) / 16 * 16;
    j.near_stride = plan->near_bins ? (plan->near.nfft + 2 + 15) / 16 * 16 : 0;
    size_t chunk = CHUNK_FLOATS / (j.stride + j.near_stride) + 1;
    if (chunk > n) chunk = n;
    if (tmp != NULL) {
        j.spectra = ek_arena_f32(tmp, chunk * j.stride);
        j.near_spectra = ek_arena_f32(tmp, chunk * j.near_stride);
        j.good = ek_arena_alloc(tmp, chunk, 1);
    }
    if (!j.spectra || !j.near_spectra || !j.good) st = EK_ENOMEM;
    const size_t grain = 1 + 16384 / t, len = what == EK_FULL_COMPLEX ? 2 * t : t;
    for (size_t at = 0; st == EK_OK && at < n; at += chunk) {
        const size_t now = n - at < chunk ? n - at : chunk;
        j.x = x + at * t;
        j.out = out + at * spec->rows * len;
        st = ek_parallel_for(now, grain, spectra_body, &j);
        if (st == EK_OK) st = ek_parallel_for(now * spec->rows, grain, rows_body, &j);
    }
    ek_arena_return(tmp);
    ek_lane_plan_put(plan);
    return st;
}
