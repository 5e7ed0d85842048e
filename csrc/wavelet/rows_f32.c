#define REAL     float
#define FFT_TYPE EK_FFT_F32
#define NAME(x)  x##_f32
#define WEIGHTS  w32
#define FRAC     frac32
#define RUN      ek_fft_run_f32
#define ROOT     sqrtf
#include "rows_impl.h"
#include "lanes.h"

ek_status ek_wavelet_scalogram_f32(const float *x, size_t n, size_t t, const ek_wavelet_spec *spec,
                                   size_t width, int power, float *out) {
    const ek_lane_kernel *kernel = ek_lane_pick();
    if (kernel != NULL && n > 0 && spec->rows > 0) {
        const ek_status st = ek_lane_scalogram(kernel, x, n, t, spec, width, power, out);
        if (st != EK_EINTERNAL) return st;
    }
    return transform(x, n, t, spec, width, 0, power, out);
}
