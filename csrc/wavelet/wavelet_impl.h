/* wavelet_impl.h: what the files of this domain share. Not for others. */
#ifndef EK_WAVELET_IMPL_H
#define EK_WAVELET_IMPL_H
#include "ek_fft.h"
#include "ek_wavelet.h"

/* One row of the filter bank: the bins where psi is not negligible, their weights psi/N. */
typedef struct {
    size_t first, count;
    size_t at; /* of the first weight */
} ek_wavelet_row;

/* Everything that depends on the lengths and frequencies only. Lives in the caller's arena. */
typedef struct {
    size_t t, nfft, left; /* x[0] is sample `left` of the padded signal */
    ek_pad pad;
    size_t rows;
    ek_wavelet_row *row;
    float *w32; /* one of the two */
    double *w64;
} ek_wavelet_bank;

/* psi below 1e-7 (f32) or 1e-16 (f64) counts as 0: under the rounding of the transforms themselves.
 */
EK_CHECK ek_status ek_wavelet_bank_make(size_t t, const ek_wavelet_spec *spec, ek_fft_type type,
                                        ek_wavelet_bank *bank, ek_arena *tmp);

/* The same for a given extension: nfft >= t samples, x in their middle. */
EK_CHECK ek_status ek_wavelet_bank_sized(size_t t, size_t nfft, const ek_wavelet_spec *spec,
                                         ek_fft_type type, ek_wavelet_bank *bank, ek_arena *tmp);

/* A long signal in blocks (overlap-save): block b makes `step` outputs from sample b*step on out of
 * `length` samples, of which `left` lie before the first output. Every wavelet ends within the
 * margins. What the formula cuts off sharply at Nyquist ends in a smooth step below it, narrow but
 * wide enough that no row rings beyond the margins. */
typedef struct {
    size_t step, length, left;
} ek_wavelet_grid;

EK_CHECK ek_status ek_wavelet_grid_of(const ek_wavelet_spec *spec, ek_fft_type type,
                                      ek_wavelet_grid *grid);

/* Whether a plain call on t samples goes through blocks. */
int ek_wavelet_is_long(size_t t, const ek_wavelet_grid *grid);

/* The bank of a block. */
EK_CHECK ek_status ek_wavelet_bank_block(const ek_wavelet_grid *grid, const ek_wavelet_spec *spec,
                                         ek_fft_type type, ek_wavelet_bank *bank, ek_arena *tmp);

/* What is wanted of the blocks of n signals. `given`: rows of x hold their surroundings (the first
 * output is sample `left`) up to the end of the last block; else they have t samples and go on as
 * `pad` says. columns: the wanted places, or NULL for every sample. */
typedef struct ek_wavelet_columns {
    size_t count, *edge; /* columns edge[b]..edge[b+1]-1 have their low sample in block b */
    size_t *low;         /* sample of the signal; the high one is the next */
    double *frac;
} ek_wavelet_columns;

typedef struct {
    ek_wavelet_grid grid;
    size_t n, t, blocks, row; /* row: samples per row of x */
    ek_pad pad;
    int given;
    const ek_wavelet_columns *columns;
} ek_wavelet_blocks;

/* Blocks of a plain call: x (n, t). */
static inline ek_wavelet_blocks ek_wavelet_blocks_of(const ek_wavelet_grid *grid, size_t n,
                                                     size_t t, ek_pad pad) {
    return (ek_wavelet_blocks){.grid = *grid,
                               .n = n,
                               .t = t,
                               .blocks = (t + grid->step - 1) / grid->step,
                               .row = t,
                               .pad = pad};
}

/* cwt or scalogram of every block of x (f32: ek_full_blocks). A block with a sample that is not
 * finite gives NaN. */
EK_CHECK ek_status ek_wavelet_blocks_f64(const double *x, const ek_wavelet_blocks *blocks,
                                         const ek_wavelet_spec *spec, int complex_out, int power,
                                         double *out);

/* Columns first..last-1 of `width` over `total` samples, of which the signal holds begin..begin+t-1
 * (and all low samples). */
EK_CHECK ek_status ek_wavelet_columns_make(const ek_wavelet_blocks *blocks, size_t total,
                                           size_t width, size_t begin, size_t first, size_t last,
                                           ek_wavelet_columns *columns, ek_arena *tmp);

/* The samples of block b of one row. */
void ek_wavelet_stretch_f32(const float *x, const ek_wavelet_blocks *blocks, size_t b, float *out);
void ek_wavelet_stretch_f64(const double *x, const ek_wavelet_blocks *blocks, size_t b,
                            double *out);

/* Linear interpolation of a row of n samples at `width` half-pixel centres. */
typedef struct {
    size_t width;
    uint32_t *low, *high;
    float *frac32; /* both are filled */
    double *frac64;
} ek_wavelet_resize;

EK_CHECK ek_status ek_wavelet_resize_make(size_t n, size_t width, ek_wavelet_resize *r,
                                          ek_arena *tmp);

/* out[i] = x[index of the padded sample i]. */
void ek_wavelet_pad_f32(const float *x, const ek_wavelet_bank *bank, float *out);
void ek_wavelet_pad_f64(const double *x, const ek_wavelet_bank *bank, double *out);

#endif
