#define REAL     float
#define FFT_TYPE EK_FFT_F32
#define NAME(x)  x##_f32
#define WEIGHTS  w32
#define FRAC     frac32
#define RUN      ek_fft_run_f32
#define ROOT     sqrtf
#include "rows_impl.h"
#include "full.h"

static ek_status blocks_run(const float *x, const ek_wavelet_blocks *blocks,
                            const ek_wavelet_spec *spec, int complex_out, int power, float *out) {
    return ek_full_blocks(x, blocks, spec,
                          complex_out ? EK_FULL_COMPLEX
                          : power     ? EK_FULL_POWER
                                      : EK_FULL_MAGNITUDE,
                          out);
}
#include "parts_impl.h"

/* With vectors: short transforms, of the columns or of every sample; else one full-length transform
 * per row. */
ek_status ek_wavelet_cwt_f32(const float *x, size_t n, size_t t, const ek_wavelet_spec *spec,
                             float *out) {
    ek_status st = long_signal(x, n, t, spec, t, 1, 0, out);
    if (st != EK_EINTERNAL) return st;
    if (ek_lane_pick() != NULL && n > 0 && spec->rows > 0) {
        st = ek_full_transform(x, n, t, spec, EK_FULL_COMPLEX, out);
        if (st != EK_EINTERNAL) return st;
    }
    return transform(x, n, t, spec, t, 1, 0, out);
}

ek_status ek_wavelet_scalogram_f32(const float *x, size_t n, size_t t, const ek_wavelet_spec *spec,
                                   size_t width, int power, float *out) {
    const ek_lane_kernel *kernel = ek_lane_pick();
    ek_status st = long_signal(x, n, t, spec, width, 0, power, out);
    if (st != EK_EINTERNAL) return st;
    if (kernel != NULL && n > 0 && spec->rows > 0) {
        st = width == t
                 ? ek_full_transform(x, n, t, spec, power ? EK_FULL_POWER : EK_FULL_MAGNITUDE, out)
                 : ek_lane_scalogram(kernel, x, n, t, spec, width, power, out);
        if (st != EK_EINTERNAL) return st;
    }
    return transform(x, n, t, spec, width, 0, power, out);
}
