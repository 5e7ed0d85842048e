#define REAL     double
#define FFT_TYPE EK_FFT_F64
#define NAME(x)  x##_f64
#define WEIGHTS  w64
#define FRAC     frac64
#define RUN      ek_fft_run_f64
#define ROOT     sqrt
#include "rows_impl.h"

static ek_status blocks_run(const double *x, const ek_wavelet_blocks *blocks,
                            const ek_wavelet_spec *spec, int complex_out, int power, double *out) {
    return ek_wavelet_blocks_f64(x, blocks, spec, complex_out, power, out);
}
#include "parts_impl.h"

ek_status ek_wavelet_scalogram_f64(const double *x, size_t n, size_t t, const ek_wavelet_spec *spec,
                                   size_t width, int power, double *out) {
    const ek_status st = long_signal(x, n, t, spec, width, 0, power, out);
    return st != EK_EINTERNAL ? st : transform(x, n, t, spec, width, 0, power, out);
}

ek_status ek_wavelet_cwt_f64(const double *x, size_t n, size_t t, const ek_wavelet_spec *spec,
                             double *out) {
    const ek_status st = long_signal(x, n, t, spec, t, 1, 0, out);
    return st != EK_EINTERNAL ? st : transform(x, n, t, spec, t, 1, 0, out);
}
