/* The plan of the lane kernels: lengths, twiddles, interpolation taps. */
#include "lanes.h"
#include <math.h>
#include <string.h>

enum { TAPS = EK_LANE_TAPS, SHORTEST = 16 };
#define PI 3.14159265358979323846

typedef double matrix[TAPS][TAPS];

static const double A = PI * PI / (EK_LANE_SPAN * EK_LANE_SPAN);

/* Cholesky factor of the Gram matrix exp(-A*(j-k)^2). Its condition is 6e11: solve with the factor,
 * never invert. */
static void gram_factor(matrix l) {
    for (int i = 0; i < TAPS; i++)
        for (int j = 0; j <= i; j++) {
            double sum = exp(-A * (i - j) * (i - j));
            for (int k = 0; k < j; k++) sum -= l[i][k] * l[j][k];
            l[i][j] = i == j ? sqrt(sum) : sum / l[j][j];
        }
}

/* Taps for a place `frac` behind the neighbour TAPS/2 - 1. */
static void taps_at(double frac, matrix l, float *tap) {
    double v[TAPS];
    for (int i = 0; i < TAPS; i++) {
        const double u = frac - (i - (TAPS / 2 - 1));
        v[i] = exp(-A * u * u);
        for (int k = 0; k < i; k++) v[i] -= l[i][k] * v[k];
        v[i] /= l[i][i];
    }
    for (int i = TAPS - 1; i >= 0; i--) {
        for (int k = i + 1; k < TAPS; k++) v[i] -= l[k][i] * v[k];
        v[i] /= l[i][i];
        tap[i] = (float)v[i];
    }
}

static ek_status table_make(const ek_lane_plan *plan, size_t length, matrix gram,
                            ek_lane_table *table, ek_arena *memory) {
    const ek_lane_columns *columns = &plan->columns;
    const size_t n = columns->count, nfft = plan->bank.nfft;
    table->length = length;
    table->exact = length == nfft;
    table->taps = TAPS + (length + nfft - 1) / nfft;
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
    for (size_t c = 0; c < n; c++) {
        const size_t low = plan->bank.left + columns->low[c],
                     high = plan->bank.left + columns->high[c];
        table->base[c] = (uint32_t)low;
        table->base_high[c] = (uint32_t)high;
        if (table->exact) continue;
        /* In units of 1/N of a short sample: exact integers. */
        const size_t whole_low = low * length / nfft, whole_high = high * length / nfft;
        float *tap = table->tap + c * 2 * table->taps;
        memset(tap, 0, 2 * table->taps * sizeof *tap);
        taps_at((double)(low * length % nfft) / (double)nfft, gram, tap);
        taps_at((double)(high * length % nfft) / (double)nfft, gram,
                tap + table->taps + (whole_high - whole_low));
        table->base[c] = (uint32_t)((whole_low + length - (TAPS / 2 - 1)) % length);
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

ek_status ek_lane_plan_make(ek_lane_plan *plan) {
    const ek_wavelet_spec *spec = plan->key.spec;
    ek_arena *memory = plan->memory;
    matrix gram;
    ek_status st = ek_wavelet_bank_make(plan->key.t, spec, EK_FFT_F32, &plan->bank, memory);
    if (st == EK_OK) st = columns_make(&plan->key, &plan->columns, memory);
    if (st == EK_OK) st = ek_fft_get(EK_FFT_R2C, EK_FFT_F32, plan->bank.nfft, &plan->forward);
    if (st != EK_OK) return st;
    gram_factor(gram);
    const size_t nfft = plan->bank.nfft;
    const int good = ek_fft_good_size(nfft) == nfft && nfft >= SHORTEST;
    ek_lane_table *tables = ek_arena_alloc(memory, spec->rows, sizeof *tables);
    plan->row = ek_arena_alloc(memory, spec->rows, sizeof *plan->row);
    if (tables == NULL || plan->row == NULL) return EK_ENOMEM;
    size_t made = 0;
    for (size_t j = 0; j < spec->rows; j++) {
        const ek_wavelet_row *from = &plan->bank.row[j];
        const double centre = spec->freqs[j] * (double)nfft / spec->fs;
        const double deviation = centre / spec->w0;
        const double want = EK_LANE_SPAN * deviation + 8.0; /* 8: the centre is rounded to a bin */
        size_t length = ek_fft_good_size(want < SHORTEST ? SHORTEST : (size_t)ceil(want));
        if (good && 4 * length >= 3 * nfft) length = nfft;
        size_t k = 0;
        while (k < made && tables[k].length != length) k++;
        if (k == made) {
            st = table_make(plan, length, gram, &tables[k], memory);
            if (st != EK_OK) return st;
            made++;
        }
        plan->row[j] =
            (ek_lane_row){&tables[k], from->first, from->count, from->at, lround(centre)};
        if (from->count && from->first + from->count > plan->bins)
            plan->bins = from->first + from->count;
        if (length + tables[k].taps > plan->longest) plan->longest = length + tables[k].taps;
    }
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

int ek_lane_usable(const ek_lane_plan *plan, const float *x, float *out) {
    const ek_lane_columns *c = &plan->columns;
    float sum = 0; /* 0*x is NaN for NaN and infinity, else 0 */
    for (size_t i = 0; i < plan->bank.t; i++) sum += 0 * x[i];
    if (sum == 0) return 1;
    for (size_t at = 0; at < c->count; at += c->block)
        for (size_t i = 0; i < plan->bank.rows * c->block; i++)
            out[at / c->block * c->block_stride + i] = NAN;
    return 0;
}
