/* Long signals in blocks: their geometry, the samples of a block, the columns of a block. */
#include "wavelet_impl.h"
#include <math.h>
#include <string.h>

static const double PI = 3.14159265358979323846;
static const double LEAST_W0 = 5.0; /* below, the cut at 0 Hz would ring from block to block */
enum {
    LONGEST_WHOLE = 1 << 17,
    LEAST_LENGTH = 1 << 15,
    LEAST_MARGIN = 2048,
    CUT_MARGIN = 4096,
    GRAIN = 16
};

static double reach_of(ek_fft_type type) { /* deviations to where the wavelet counts as 0 */
    return sqrt(-2.0 * log((type == EK_FFT_F32 ? 1e-7 : 1e-16) / 2.0));
}

ek_status ek_wavelet_grid_of(const ek_wavelet_spec *spec, ek_fft_type type, ek_wavelet_grid *grid) {
    if (!(spec->fs > 0.0) || !(spec->w0 >= LEAST_W0)) return EK_EVALUE;
    double slowest = 0.0, highest = 0.0; /* deviation of the longest wavelet, samples; Hz */
    for (size_t j = 0; j < spec->rows; j++) {
        if (!(spec->freqs[j] > 0.0)) return EK_EVALUE;
        slowest = fmax(slowest, spec->w0 * spec->fs / (2.0 * PI * spec->freqs[j]));
        highest = fmax(highest, spec->freqs[j]);
    }
    /* A row that reaches Nyquist: the step there is the narrower the wider the margin. */
    const int cut = (0.5 * spec->fs / highest - 1.0) * spec->w0 < reach_of(type);
    const size_t least = cut ? CUT_MARGIN : LEAST_MARGIN;
    /* One deviation more: interpolation looks beyond the outputs. */
    const double want = ceil((reach_of(type) + 1.0) * slowest);
    if (want > (double)(SIZE_MAX / 1024)) return EK_EVALUE;
    const size_t margin = want < (double)least ? least : (size_t)want;
    grid->length = ek_fft_good_size(8 * margin < LEAST_LENGTH ? LEAST_LENGTH : 8 * margin);
    grid->step = (grid->length - 2 * margin - 1) / GRAIN * GRAIN;
    grid->left = (grid->length - grid->step) / 2;
    return EK_OK;
}

int ek_wavelet_is_long(size_t t, const ek_wavelet_grid *grid) {
    return t > LONGEST_WHOLE && grid->length <= t;
}

ek_status ek_wavelet_bank_block(const ek_wavelet_grid *grid, const ek_wavelet_spec *spec,
                                ek_fft_type type, ek_wavelet_bank *bank, ek_arena *tmp) {
    const ek_status st = ek_wavelet_bank_sized(grid->step, grid->length, spec, type, bank, tmp);
    if (st != EK_OK) return st;
    const double reach = reach_of(type), deviation = reach / (0.9 * (double)grid->left);
    const double centre = PI - reach * deviation, scale = sqrt(0.5) / deviation;
    for (size_t j = 0; j < bank->rows; j++)
        for (size_t i = 0; i < bank->row[j].count; i++) {
            const double w = 2.0 * PI * (double)(bank->row[j].first + i) / (double)grid->length;
            const double keep = 0.5 * erfc((w - centre) * scale);
            if (type == EK_FFT_F32)
                bank->w32[bank->row[j].at + i] = (float)(bank->w32[bank->row[j].at + i] * keep);
            else
                bank->w64[bank->row[j].at + i] *= keep;
        }
    return EK_OK;
}

ek_status ek_wavelet_columns_make(const ek_wavelet_blocks *blocks, size_t total, size_t width,
                                  size_t begin, size_t first, size_t last,
                                  ek_wavelet_columns *columns, ek_arena *tmp) {
    if (total == 0 || width == 0 || first > last || last > width) return EK_ESHAPE;
    const double end = (double)(total - 1);
    columns->count = last - first;
    columns->low = ek_arena_alloc(tmp, columns->count, sizeof *columns->low);
    columns->frac = ek_arena_f64(tmp, columns->count);
    columns->edge = ek_arena_alloc(tmp, blocks->blocks + 1, sizeof *columns->edge);
    if (!columns->low || !columns->frac || !columns->edge) return EK_ENOMEM;
    size_t b = 0;
    for (size_t c = first; c < last; c++) {
        double at = ((double)c + 0.5) * (double)total / (double)width - 0.5;
        at = at < 0.0 ? 0.0 : at > end ? end : at;
        const size_t low = (size_t)at;
        if (low < begin || low - begin >= blocks->t) return EK_ESHAPE;
        columns->low[c - first] = low - begin;
        columns->frac[c - first] = at - (double)low;
        while (b <= (low - begin) / blocks->grid.step) columns->edge[b++] = c - first;
    }
    while (b <= blocks->blocks) columns->edge[b++] = columns->count;
    return EK_OK;
}

/* Sample s of a row of t samples that goes on as `pad` says; zeros: *zero. */
static size_t sample_of(ptrdiff_t s, size_t t, ek_pad pad, int *zero) {
    const ptrdiff_t n = (ptrdiff_t)t;
    *zero = 0;
    if (s >= 0 && s < n) return (size_t)s;
    if (pad == EK_PAD_ZERO) {
        *zero = 1;
        return 0;
    }
    const ptrdiff_t period = pad == EK_PAD_PERIODIC ? n : n > 1 ? 2 * (n - 1) : 1;
    const ptrdiff_t p = (s % period + period) % period;
    return (size_t)(p < n ? p : period - p);
}

#define STRETCH(NAME, REAL)                                                                        \
    void NAME(const REAL *x, const ek_wavelet_blocks *k, size_t b, REAL *out) {                    \
        const ptrdiff_t first =                                                                    \
            (ptrdiff_t)(b * k->grid.step) - (k->given ? 0 : (ptrdiff_t)k->grid.left);              \
        if (first >= 0 && (size_t)first + k->grid.length <= k->row) {                              \
            memcpy(out, x + first, k->grid.length * sizeof *x);                                    \
            return;                                                                                \
        }                                                                                          \
        for (size_t i = 0; i < k->grid.length; i++) {                                              \
            int zero;                                                                              \
            const size_t s = sample_of(first + (ptrdiff_t)i, k->row, k->pad, &zero);               \
            out[i] = zero ? 0 : x[s];                                                              \
        }                                                                                          \
    }
STRETCH(ek_wavelet_stretch_f32, float)
STRETCH(ek_wavelet_stretch_f64, double)

ek_status ek_wavelet_block(const ek_wavelet_spec *spec, int single, size_t *step, size_t *length,
                           size_t *left) {
    ek_wavelet_grid grid;
    const ek_status st = ek_wavelet_grid_of(spec, single ? EK_FFT_F32 : EK_FFT_F64, &grid);
    if (st != EK_OK) return st;
    *step = grid.step;
    *length = grid.length;
    *left = grid.left;
    return EK_OK;
}
