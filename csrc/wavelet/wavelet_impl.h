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
