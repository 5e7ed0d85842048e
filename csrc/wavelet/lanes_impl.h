/* lanes_impl.h: the lane kernels for LANES floats per vector (8 or 16). Included by one file per
 * instruction set, which defines LANES and KERNEL. See lanes.h for the method. */
#include "lanes.h"
#include <immintrin.h>
#include <string.h>

typedef float vf __attribute__((vector_size(4 * LANES)));
typedef struct {
    vf re, im;
} cv; /* one complex number of every lane */

static inline vf root(vf x) {
#if LANES == 16
    return (vf)_mm512_sqrt_ps((__m512)x);
#else
    return (vf)_mm256_sqrt_ps((__m256)x);
#endif
}

static inline cv times(cv a, const float *w) {
    return (cv){a.re * w[0] - a.im * w[1], a.re * w[1] + a.im * w[0]};
}

static inline cv plus(cv a, cv b) {
    return (cv){a.re + b.re, a.im + b.im};
}

static inline cv minus(cv a, cv b) {
    return (cv){a.re - b.re, a.im - b.im};
}

static inline cv plus_i(cv a, cv b) { /* a + i*b */
    return (cv){a.re - b.im, a.im + b.re};
}

static inline cv minus_i(cv a, cv b) { /* a - i*b */
    return (cv){a.re + b.im, a.im - b.re};
}

static inline cv scaled(cv a, float s) {
    return (cv){a.re * s, a.im * s};
}

/* Stockham passes of the backward transform: n points left, stride s, n*s == length. x -> y. */
static void pass2(const cv *x, cv *y, size_t s) { /* the last one: n == 2 */
    for (size_t q = 0; q < s; q++) {
        const cv a = x[q], b = x[q + s];
        y[q] = plus(a, b);
        y[q + s] = minus(a, b);
    }
}

static void pass4(const cv *x, cv *y, size_t n, size_t s, const float *tw) {
    const size_t quarter = n / 4;
    for (size_t p = 0; p < quarter; p++) {
        const float *w1 = tw + 2 * p * s, *w2 = tw + 4 * p * s, *w3 = tw + 6 * p * s;
        const cv *xp = x + s * p;
        cv *yp = y + s * 4 * p;
        for (size_t q = 0; q < s; q++) {
            const cv a = xp[q], b = xp[q + s * quarter], c = xp[q + s * 2 * quarter];
            const cv d = xp[q + s * 3 * quarter];
            const cv ac = plus(a, c), amc = minus(a, c), bd = plus(b, d), bmd = minus(b, d);
            yp[q] = plus(ac, bd);
            if (p == 0) {
                yp[q + s] = plus_i(amc, bmd);
                yp[q + 2 * s] = minus(ac, bd);
                yp[q + 3 * s] = minus_i(amc, bmd);
            } else {
                yp[q + s] = times(plus_i(amc, bmd), w1);
                yp[q + 2 * s] = times(minus(ac, bd), w2);
                yp[q + 3 * s] = times(minus_i(amc, bmd), w3);
            }
        }
    }
}

static void pass3(const cv *x, cv *y, size_t n, const float *tw) { /* the first one: s == 1 */
    const float half_root3 = 0.866025403784438647f;
    const size_t third = n / 3;
    for (size_t p = 0; p < third; p++) {
        const cv a = x[p], b = x[p + third], c = x[p + 2 * third];
        const cv sum = plus(b, c), t = plus(a, scaled(sum, -0.5f)),
                 u = scaled(minus(b, c), half_root3);
        y[3 * p] = plus(a, sum);
        y[3 * p + 1] = times(plus_i(t, u), tw + 2 * p);
        y[3 * p + 2] = times(minus_i(t, u), tw + 4 * p);
    }
}

static void pass5(const cv *x, cv *y, size_t n, const float *tw) { /* the first one: s == 1 */
    const float c1 = 0.309016994374947424f,
                c2 = -0.809016994374947424f; /* cos of 72 and 144 degrees */
    const float s1 = 0.951056516295153572f, s2 = 0.587785252292473129f; /* and their sines */
    const size_t fifth = n / 5;
    for (size_t p = 0; p < fifth; p++) {
        const cv a = x[p], b = x[p + fifth], c = x[p + 2 * fifth], d = x[p + 3 * fifth];
        const cv e = x[p + 4 * fifth];
        const cv be = plus(b, e), cd = plus(c, d), bme = minus(b, e), cmd = minus(c, d);
        const cv t1 = plus(a, plus(scaled(be, c1), scaled(cd, c2)));
        const cv t2 = plus(a, plus(scaled(be, c2), scaled(cd, c1)));
        const cv u1 = plus(scaled(bme, s1), scaled(cmd, s2));
        const cv u2 = minus(scaled(bme, s2), scaled(cmd, s1));
        y[5 * p] = plus(a, plus(be, cd));
        y[5 * p + 1] = times(plus_i(t1, u1), tw + 2 * p);
        y[5 * p + 2] = times(plus_i(t2, u2), tw + 4 * p);
        y[5 * p + 3] = times(minus_i(t2, u2), tw + 6 * p);
        y[5 * p + 4] = times(minus_i(t1, u1), tw + 8 * p);
    }
}

/* Unnormalised exp(+i...) transform of `length` = 2^a, 3*2^a or 5*2^a points. Returns x or y,
 * whichever holds the result. */
static cv *transform(cv *x, cv *y, size_t length, const float *tw) {
    size_t n = length, s = 1;
    if (n % 3 == 0 || n % 5 == 0) {
        s = n % 3 == 0 ? 3 : 5;
        if (s == 3)
            pass3(x, y, n, tw);
        else
            pass5(x, y, n, tw);
        n /= s;
        cv *swap = x;
        x = y;
        y = swap;
    }
    while (n > 1) {
        if (n >= 4)
            pass4(x, y, n, s, tw);
        else
            pass2(x, y, s);
        s *= n >= 4 ? 4 : 2;
        n /= n >= 4 ? 4 : 2;
        cv *swap = x;
        x = y;
        y = swap;
    }
    return x;
}

/* (8, 8) floats: rows `from` apart -> columns, rows `to` apart. */
static inline void transpose8(const float *in, size_t from, float *out, size_t to) {
    __m256 r[8], t[8];
    for (int i = 0; i < 8; i++) r[i] = _mm256_loadu_ps(in + (size_t)i * from);
    for (int i = 0; i < 4; i++) {
        t[2 * i] = _mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]);
        t[2 * i + 1] = _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]);
    }
    for (int i = 0; i < 2; i++) {
        r[4 * i] = _mm256_shuffle_ps(t[4 * i], t[4 * i + 2], 0x44);
        r[4 * i + 1] = _mm256_shuffle_ps(t[4 * i], t[4 * i + 2], 0xee);
        r[4 * i + 2] = _mm256_shuffle_ps(t[4 * i + 1], t[4 * i + 3], 0x44);
        r[4 * i + 3] = _mm256_shuffle_ps(t[4 * i + 1], t[4 * i + 3], 0xee);
    }
    for (int i = 0; i < 4; i++) {
        _mm256_storeu_ps(out + (size_t)i * to, _mm256_permute2f128_ps(r[i], r[i + 4], 0x20));
        _mm256_storeu_ps(out + (size_t)(i + 4) * to, _mm256_permute2f128_ps(r[i], r[i + 4], 0x31));
    }
}

/* Spectra (LANES, stride) -> bins (2*count floats, LANES); count*2 is rounded up to 8 within
 * stride. */
static void gather(const float *spectra, size_t stride, size_t count, float *bins) {
    for (size_t f = 0; f < 2 * count; f += 8)
        for (size_t l = 0; l < LANES; l += 8)
            transpose8(spectra + l * stride + f, stride, bins + f * LANES + l, LANES);
}

/* Columns (count, LANES) -> the lanes' outputs. */
static void scatter(const float *column, const ek_lane_columns *c, size_t row, float *const *out,
                    size_t n) {
    float block[8][8];
    for (size_t begin = 0; begin < c->count; begin += c->block) {
        const size_t at = begin / c->block * c->block_stride + row * c->block;
        size_t i = 0;
        for (; i + 8 <= c->block; i += 8)
            for (size_t l = 0; l < n; l += 8) {
                transpose8(column + (begin + i) * LANES + l, LANES, block[0], 8);
                for (size_t k = l; k < n && k < l + 8; k++)
                    _mm256_storeu_ps(out[k] + at + i, _mm256_loadu_ps(block[k - l]));
            }
        for (; i < c->block; i++)
            for (size_t l = 0; l < n; l++) out[l][at + i] = column[(begin + i) * LANES + l];
    }
}

/* No memset calls for a few vectors. */
__attribute__((optimize("no-tree-loop-distribute-patterns"))) static void
product(const ek_lane_row *row, const cv *bins, cv *z) {
    const ptrdiff_t length = (ptrdiff_t)row->table->length;
    const ptrdiff_t low = (ptrdiff_t)row->first - row->centre, end = low + (ptrdiff_t)row->count;
    for (ptrdiff_t m = 0; m < low; m++) z[m] = (cv){{0}, {0}};
    for (ptrdiff_t m = end > 0 ? end : 0; m < (low < 0 ? length + low : length); m++)
        z[m] = (cv){{0}, {0}};
    const cv *in = bins + row->bins_at + row->first - low;
    const float *w = row->weights - low;
    for (ptrdiff_t m = low; m < 0 && m < end; m++) z[m + length] = scaled(in[m], w[m]);
    for (ptrdiff_t m = low > 0 ? low : 0; m < end; m++) z[m] = scaled(in[m], w[m]);
}

static inline vf size_of(cv v, int power) {
    const vf square = v.re * v.re + v.im * v.im;
    return power ? square : root(square);
}

static void columns_of(const ek_lane_columns *c, const ek_lane_table *t, const cv *y, int power,
                       vf *column) {
    if (t->exact) {
        for (size_t i = 0; i < c->count; i++) {
            const vf low = size_of(y[t->base[i]], power), high = size_of(y[t->base_high[i]], power);
            column[i] = low + (high - low) * c->frac[i];
        }
        return;
    }
    for (size_t i = 0; i < c->count; i++) {
        const cv *at = y + t->base[i];
        const float *a = t->tap + i * 2 * t->taps, *b = a + t->taps;
        cv low = scaled(at[0], a[0]), high = scaled(at[0], b[0]);
        for (size_t k = 1; k < t->taps; k++) {
            low.re += at[k].re * a[k];
            low.im += at[k].im * a[k];
            high.re += at[k].re * b[k];
            high.im += at[k].im * b[k];
        }
        const vf from = size_of(low, power);
        column[i] = from + (size_of(high, power) - from) * c->frac[i];
    }
}

static ek_status bank_spectra(const ek_wavelet_bank *bank, const ek_fft_plan *forward, size_t count,
                              const float *const *x, size_t n, float *bins, ek_arena *tmp) {
    const size_t mark = ek_arena_mark(tmp), nfft = bank->nfft;
    const size_t stride = (2 * (nfft / 2 + 1) + 15) / 16 * 16;
    float *padded = ek_arena_f32(tmp, nfft);
    float *spectra = ek_arena_f32(tmp, LANES * stride);
    if (!padded || !spectra) return EK_ENOMEM;
    for (size_t l = 0; l < n; l++) {
        ek_wavelet_pad_f32(x[l], bank, padded);
        ek_fft_run_f32(forward, padded, spectra + l * stride);
    }
    for (size_t l = n; l < LANES; l++) memset(spectra + l * stride, 0, stride * sizeof *spectra);
    gather(spectra, stride, count, bins);
    ek_arena_reset(tmp, mark);
    return EK_OK;
}

static ek_status spectra_of(const ek_lane_plan *plan, const float *const *x, size_t n, float *bins,
                            ek_arena *tmp) {
    ek_status st = bank_spectra(&plan->bank, plan->forward, plan->bins, x, n, bins, tmp);
    if (st == EK_OK && plan->near_bins > 0)
        st = bank_spectra(&plan->near, plan->forward_near, plan->near_bins, x, n,
                          bins + 2 * LANES * plan->near_at, tmp);
    return st;
}

static ek_status rows_of(const ek_lane_plan *plan, const float *bins, int power, size_t first,
                         size_t last, float *const *out, size_t n, ek_arena *tmp) {
    const size_t mark = ek_arena_mark(tmp);
    cv *a = ek_arena_alloc(tmp, plan->longest, sizeof *a);
    cv *b = ek_arena_alloc(tmp, plan->longest, sizeof *b);
    vf *column = ek_arena_alloc(tmp, plan->columns.count, sizeof *column);
    if (!a || !b || !column) return EK_ENOMEM;
    for (size_t j = first; j < last; j++) {
        const ek_lane_row *row = &plan->row[j];
        const ek_lane_table *t = row->table;
        product(row, (const cv *)bins, a);
        cv *y = transform(a, b, t->length, t->twiddle);
        if (!t->exact)
            for (size_t k = 0; k < t->taps; k++) y[t->length + k] = y[k];
        columns_of(&plan->columns, t, y, power, column);
        scatter((const float *)column, &plan->columns, j, out, n);
    }
    ek_arena_reset(tmp, mark);
    return EK_OK;
}

const ek_lane_kernel KERNEL = {LANES, spectra_of, rows_of};
