#define REAL     float
#define FFT_TYPE EK_FFT_F32
#define NAME(x)  x##_f32
#define WEIGHTS  w32
#define FRAC     frac32
#define RUN      ek_fft_run_f32
#define ROOT     sqrtf
#include "rows_impl.h"
