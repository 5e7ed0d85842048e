/* ek_wavelet.h: continuous wavelet transform with the analytic Morlet wavelet, peak 2 (L1 norm).
 *   cwt        complex coefficients, every sample
 *   scalogram  magnitude or power, every sample or resized to a width
 *   stacked    the leads' scalograms of every window under each other, scaled, or as a picture for
 * a CNN
 *
 * Definition. x is extended to N samples (see ek_wavelet_pad), X = FFT(x), and for frequency f with
 * s = w0*fs/(2*pi*f) y[m] = 1/N * sum_{0 < k <= N/2} X[k] * psi(s*2*pi*k/N) * exp(2*pi*i*k*m/N),
 * psi(w) = 2*exp(-(w - w0)^2/2), of which the samples that lie on x are kept. A unit cosine of
 * frequency f gives |y| = 1, a constant gives 0. A NaN or an infinity makes every coefficient of
 * its signal (in `stacked`: of its lead and window) NaN.
 *
 * Long signals (more than 131,072 samples, w0 >= 5) go through blocks that see their surroundings:
 * linear time, no joint. There the sum over k ends at Nyquist in a smooth step (content of the last
 * half percent below Nyquist is weighted down), and a NaN spoils the blocks that see it. */
#ifndef EK_WAVELET_H
#define EK_WAVELET_H
#include "ek_core.h"

typedef enum {
    EK_PAD_REFLECT,  /* N = ek_fft_good_size(2t), mirrored at both ends without repeating the end
                        sample, as often as needed */
    EK_PAD_ZERO,     /* the same N, zeros */
    EK_PAD_PERIODIC, /* N = t */
} ek_pad;

/* freqs: rows of them, 0 < f <= fs/2, any order. fs, w0 > 0. */
typedef struct {
    const double *freqs;
    size_t rows;
    double fs, w0;
    ek_pad pad;
} ek_wavelet_spec;

/* x (n, t) -> out (n, rows, t) interleaved complex. out must not overlap x. */
EK_CHECK ek_status ek_wavelet_cwt_f32(const float *x, size_t n, size_t t,
                                      const ek_wavelet_spec *spec, float *out);
EK_CHECK ek_status ek_wavelet_cwt_f64(const double *x, size_t n, size_t t,
                                      const ek_wavelet_spec *spec, double *out);

/* x (n, t) -> out (n, rows, width), magnitude or (power) its square. width == t: every sample.
 * Otherwise column c is the linear interpolation of the full-rate row at (c + 0.5)*t/width - 0.5,
 * clamped to 0..t-1 ("bilinear", half-pixel centres). */
EK_CHECK ek_status ek_wavelet_scalogram_f32(const float *x, size_t n, size_t t,
                                            const ek_wavelet_spec *spec, size_t width, int power,
                                            float *out);
EK_CHECK ek_status ek_wavelet_scalogram_f64(const double *x, size_t n, size_t t,
                                            const ek_wavelet_spec *spec, size_t width, int power,
                                            double *out);

/* A long signal in parts. step: outputs of a block; a part of t outputs, its first at a multiple of
 * step, needs row = ceil(t/step)*step + length - step samples, the first of them `left` before its
 * first output. x (n, row) -> out (n, rows, t), with the bits of the plain call on the whole. */
EK_CHECK ek_status ek_wavelet_block(const ek_wavelet_spec *spec, int single, size_t *step,
                                    size_t *length, size_t *left);
EK_CHECK ek_status ek_wavelet_cwt_part_f32(const float *x, size_t n, size_t t,
                                           const ek_wavelet_spec *spec, float *out);
EK_CHECK ek_status ek_wavelet_cwt_part_f64(const double *x, size_t n, size_t t,
                                           const ek_wavelet_spec *spec, double *out);

/* Magnitude or power: of every output (width 0), out (n, rows, t); or columns first..last-1 of the
 * `width` that a record of `total` samples has, if this part holds the samples from `begin` on: out
 * (n, rows, last - first). */
typedef struct {
    size_t total, width, begin, first, last;
    int power;
} ek_part_columns;

EK_CHECK ek_status ek_wavelet_scalogram_part_f32(const float *x, size_t n, size_t t,
                                                 const ek_wavelet_spec *spec,
                                                 const ek_part_columns *columns, float *out);
EK_CHECK ek_status ek_wavelet_scalogram_part_f64(const double *x, size_t n, size_t t,
                                                 const ek_wavelet_spec *spec,
                                                 const ek_part_columns *columns, double *out);

typedef enum { EK_STACK_RAW, EK_STACK_MINMAX, EK_STACK_LEAD } ek_stack_scale;

/* Windows of `window` samples one after the other; what is left at the end is dropped. cwt_first
 * transforms the whole record and cuts the windows out of the magnitude. The picture of a window
 * has leads*rows rows (lead 0 on top; inside a lead in the order of spec.freqs) and `width`
 * columns. scale: to [0, 1] over the picture or over each lead's part (a flat one is 0). image_h >
 * 0: area-resized to (image_h, image_w) (EK_STACK_MINMAX is applied after the resize, EK_STACK_LEAD
 * before), grey or jet, 3 channels, ImageNet mean and deviation. */
typedef struct {
    size_t window, width;
    int power, cwt_first;
    ek_stack_scale scale;
    size_t image_h, image_w;
    int jet;
} ek_stack_spec;

/* x (n, leads, t) -> out (n, t/window, leads*rows, width), or (n, t/window, 3, image_h, image_w).
 */
EK_CHECK ek_status ek_wavelet_stacked_f32(const float *x, size_t n, size_t leads, size_t t,
                                          const ek_wavelet_spec *spec, const ek_stack_spec *stack,
                                          float *out);

#endif
