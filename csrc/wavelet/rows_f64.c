#define REAL     double
#define FFT_TYPE EK_FFT_F64
#define NAME(x)  x##_f64
#define WEIGHTS  w64
#define FRAC     frac64
#define RUN      ek_fft_run_f64
#define ROOT     sqrt
#include "rows_impl.h"
