/* The plan of the lane kernels: lengths, twiddles, interpolation taps. */
#include "full.h"
#include <math.h>
#include <string.h>

#define PI 3.14159265358979323846

enum { MOST_TAPS = EK_LANE_MOST_TAPS, SHORTEST = 16, ORDERS = EK_LANE_ORDERS };

/* M taps are within 2.5e-7 for a band of L/span bins deviation or less, its value at the deviation
 * d weighted by exp(-d^2/2). */
static const struct {
    size_t taps;
    double span;
} ORDER[ORDERS] = {
    {4,  109.0},
    {6,  38.5 },
    {8,  24.0 },
    {10, 18.5 },
    {12, 16.0 },
};

typedef double matrix[MOST_TAPS][MOST_TAPS];

/* Cholesky factor of the Gram matrix exp(-a*(j-k)^2). Its condition is up to 1e12: solve with the
 * factor, never invert. */
static void gram_factor(size_t taps, double a, matrix l) {
    for (size_t i = 0; i < taps; i++)
        for (size_t j = 0; j <= i; j++) {
            double sum = exp(-a * (double)((i - j) * (i - j)));
            for (size_t k = 0; k < j; k++) sum -= l[i][k] * l[j][k];
            l[i][j] = i == j ? sqrt(sum) : sum / l[j][j];
        }
}

/* Taps for a place `frac` behind the neighbour taps/2 - 1. */
static void taps_at(double frac, size_t taps, double a, matrix l, float *tap) {
    double v[MOST_TAPS];
    for (size_t i = 0; i < taps; i++) {
        const double u = frac - ((double)i - (double)(taps / 2 - 1));
        v[i] = exp(-a * u * u);
        for (size_t k = 0; k < i; k++) v[i] -= l[i][k] * v[k];
        v[i] /= l[i][i];
    }
    for (size_t i = taps; i-- > 0;) {
        for (size_t k = i + 1; k < taps; k++) v[i] -= l[k][i] * v[k];
        v[i] /= l[i][i];
        tap[i] = (float)v[i];
    }
}

size_t ek_lane_order_taps(size_t order) {
    return ORDER[order].taps;
}

double ek_lane_order_span(size_t order) {
    return ORDER[order].span;
}

void ek_lane_taps_at(double frac, size_t order, float *tap) {
    const double a = PI * PI / (ORDER[order].span * ORDER[order].span);
    matrix gram;
    gram_factor(ORDER[order].taps, a, gram);
    taps_at(frac, ORDER[order].taps, a, gram, tap);
}

static ek_status table_make(const ek_lane_plan *plan, const ek_wavelet_bank *bank, size_t length,
                            size_t order, ek_lane_table *table, ek_arena *memory) {
    const ek_lane_columns *columns = &plan->columns;
    const size_t n = columns->count, nfft = bank->nfft, taps = ORDER[order].taps;
    const double a = PI * PI / (ORDER[order].span * ORDER[order].span);
    matrix gram;
    *table =
        (ek_lane_table){.length = length, .order = order, .bank = bank, .exact = length == nfft};
    table->taps = taps + (length + nfft - 1) / nfft;
    table->twiddle = ek_arena_f32(memory, 2 * length);
    table->base = ek_arena_alloc(memory, n, sizeof *table->base);
    table->base_high = ek_arena_alloc(memory, n, sizeof *table->base_high);
    table->tap = table->exact ? NULL : ek_arena_f32(memory, n * 2 * table->taps);
    if (table->twiddle == NULL || table->base == NULL || table->base_high == NULL ||
        (table->tap == NULL && !table->exact))
        return EK_ENOMEM;
    for (size_t k = 0; k < length; k++) {
        table->twiddle[2 * k] = (float)cos(2.0 * PI * (double)k / (double)length);
        table->twiddle[2 * k + 1] = (float)sin(2.0 * PI * (double)k / (double)length);
    }
    gram_factor(taps, a, gram);
    for (size_t c = 0; c < n; c++) {
        const size_t low = bank->left + columns->low[c], high = bank->left + columns->high[c];
        table->base[c] = (uint32_t)low;
        table->base_high[c] = (uint32_t)high;
        if (table->exact) continue;
        /* In units of 1/N of a short sample: exact integers. */
        const size_t whole_low = low * length / nfft, whole_high = high * length / nfft;
        float *tap = table->tap + c * 2 * table->taps;
        memset(tap, 0, 2 * table->taps * sizeof *tap);
        taps_at((double)(low * length % nfft) / (double)nfft, taps, a, gram, tap);
        taps_at((double)(high * length % nfft) / (double)nfft, taps, a, gram,
                tap + table->taps + (whole_high - whole_low));
        table->base[c] = (uint32_t)((whole_low + length - (taps / 2 - 1)) % length);
    }
    return EK_OK;
}

static ek_status columns_make(const ek_lane_key *key, ek_lane_columns *c, ek_arena *memory) {
    ek_wavelet_resize r;
    const ek_status st = ek_wavelet_resize_make(key->window, key->width, &r, memory);
    if (st != EK_OK) return st;
    const size_t count = key->blocks * key->width;
    c->count = count;
    c->block = key->width;
    c->block_stride = key->block_stride;
    c->low = ek_arena_alloc(memory, count, sizeof *c->low);
    c->high = ek_arena_alloc(memory, count, sizeof *c->high);
    c->frac = ek_arena_f32(memory, count);
    if (c->low == NULL || c->high == NULL || c->frac == NULL) return EK_ENOMEM;
    for (size_t i = 0; i < count; i++) {
        const size_t at = i % key->width, from = i / key->width * key->window;
        c->low[i] = (uint32_t)(r.low[at] + from);
        c->high[i] = (uint32_t)(r.high[at] + from);
        c->frac[i] = r.frac32[at];
    }
    return EK_OK;
}

/* Steps of a transform of L points and the interpolation of the columns, in cycles of a vector of 8
 * lanes (measured). */
static double cost(size_t length, size_t taps, size_t columns) {
    const double passes = ceil(log2((double)length) / 2.0);
    return (2.25 * passes + 2.0) * (double)length + 2.0 * (double)(taps * columns);
}

/* The cheapest length for a band of `deviation` bins, and its order. */
static size_t choose(const ek_wavelet_bank *bank, double deviation, size_t columns, size_t *order) {
    const size_t nfft = bank->nfft;
    const int good = ek_fft_good_size(nfft) == nfft && nfft >= SHORTEST;
    size_t best = good ? nfft : 0;
    double least = good ? cost(nfft, 1, columns) : INFINITY;
    *order = 0;
    for (size_t k = 0; k < ORDERS; k++) {
        const double want = ORDER[k].span * (deviation + 0.4); /* the centre is rounded to a bin */
        const size_t length = ek_fft_good_size(want < SHORTEST ? SHORTEST : (size_t)ceil(want));
        const double c = cost(length, ORDER[k].taps + 1, columns);
        if (c >= least || (good && length >= nfft)) continue;
        least = c;
        best = length;
        *order = k;
    }
    return best;
}

/* Whether the row is the same from the near bank: the wavelet ends inside its margin, and neither
 * end of its spectrum is cut off so high that it would ring beyond. */
int ek_lane_fits_near(const ek_lane_plan *plan, double f) {
    const ek_wavelet_spec *spec = plan->key.spec;
    const double deviation = spec->w0 * spec->fs / (2.0 * PI * f); /* samples */
    return 5.8 * deviation <= (double)plan->near.left && spec->w0 >= 4.5 &&
           (0.5 * spec->fs / f - 1.0) * spec->w0 >= 4.5;
}

static ek_status near_make(ek_lane_plan *plan) {
    const size_t t = plan->key.t, nfft = ek_fft_good_size(t + t / 50 + 16);
    if (plan->bank.pad == EK_PAD_PERIODIC || 10 * nfft > 7 * plan->bank.nfft) return EK_OK;
    plan->near.left = (nfft - t) / 2;
    size_t rows = 0;
    for (size_t j = 0; j < plan->bank.rows; j++)
        rows += (size_t)ek_lane_fits_near(plan, plan->key.spec->freqs[j]);
    if (rows < 4) return EK_OK;
    const ek_status st =
        ek_wavelet_bank_sized(t, nfft, plan->key.spec, EK_FFT_F32, &plan->near, plan->memory);
    if (st != EK_OK) return st;
    plan->near_bins = 1; /* there is one; grows below */
    return ek_fft_get(EK_FFT_R2C, EK_FFT_F32, nfft, &plan->forward_near);
}

ek_status ek_lane_plan_make(ek_lane_plan *plan) {
    enum { SLACK = 4 }; /* the gather works in blocks of four bins */
    const ek_wavelet_spec *spec = plan->key.spec;
    ek_arena *memory = plan->memory;
    ek_status st =
        plan->key.grid
            ? ek_wavelet_bank_block(plan->key.grid, spec, EK_FFT_F32, &plan->bank, memory)
            : ek_wavelet_bank_make(plan->key.t, spec, EK_FFT_F32, &plan->bank, memory);
    if (st == EK_OK && plan->key.width > 0) st = columns_make(&plan->key, &plan->columns, memory);
    if (st == EK_OK) st = ek_fft_get(EK_FFT_R2C, EK_FFT_F32, plan->bank.nfft, &plan->forward);
    if (st == EK_OK && plan->key.grid == NULL) st = near_make(plan);
    if (st != EK_OK) return st;
    if (plan->key.width == 0) return ek_full_make(plan);
    ek_lane_table *tables = ek_arena_alloc(memory, spec->rows, sizeof *tables);
    plan->row = ek_arena_alloc(memory, spec->rows, sizeof *plan->row);
    if (tables == NULL || plan->row == NULL) return EK_ENOMEM;
    size_t made = 0;
    for (size_t j = 0; j < spec->rows; j++) {
        const int near = plan->near_bins > 0 && ek_lane_fits_near(plan, spec->freqs[j]);
        const ek_wavelet_bank *bank = near ? &plan->near : &plan->bank;
        const ek_wavelet_row *from = &bank->row[j];
        const double centre = spec->freqs[j] * (double)bank->nfft / spec->fs;
        size_t order, k = 0, *bins = near ? &plan->near_bins : &plan->bins;
        const size_t length = choose(bank, centre / spec->w0, plan->columns.count, &order);
        while (k < made &&
               (tables[k].length != length || tables[k].bank != bank || tables[k].order != order))
            k++;
        if (k == made) {
            st = table_make(plan, bank, length, order, &tables[k], memory);
            if (st != EK_OK) return st;
            made++;
        }
        plan->row[j] = (ek_lane_row){&tables[k],           from->first,    from->count,
                                     bank->w32 + from->at, lround(centre), 0};
        if (from->count && from->first + from->count > *bins) *bins = from->first + from->count;
        if (length + tables[k].taps > plan->longest) plan->longest = length + tables[k].taps;
    }
    plan->near_at = plan->bins + SLACK;
    plan->bins_total = plan->near_at + (plan->near_bins ? plan->near_bins + SLACK : 0);
    for (size_t j = 0; j < spec->rows; j++)
        if (plan->row[j].table->bank == &plan->near) plan->row[j].bins_at = plan->near_at;
    return EK_OK;
}

const ek_lane_kernel *ek_lane_pick(void) {
    static const struct {
        unsigned need;
        const ek_lane_kernel *fn;
    } KERNELS[] = {
        {EK_CPU_AVX512, &ek_lane_avx512},
        {EK_CPU_AVX2,   &ek_lane_avx2  },
        {0,             NULL           },
    };
    return EK_PICK(KERNELS);
}

int ek_lane_finite(const float *x, size_t t) {
    uint32_t bits, bad = 0;
    for (size_t i = 0; i < t; i++) {
        memcpy(&bits, x + i, sizeof bits);
        bad |= (bits & 0x7f800000u) == 0x7f800000u; /* the exponent of NaN and infinity */
    }
    return !bad;
}

int ek_lane_usable(const ek_lane_plan *plan, const float *x, float *out) {
    const ek_lane_columns *c = &plan->columns;
    if (ek_lane_finite(x, plan->bank.t)) return 1;
    for (size_t at = 0; at < c->count; at += c->block)
        for (size_t i = 0; i < plan->bank.rows * c->block; i++)
            out[at / c->block * c->block_stride + i] = NAN;
    return 0;
}
