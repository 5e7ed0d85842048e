/* Another sampling rate through the spectrum, in double: the signal is taken as one period. */
#include "ek_dsp.h"
#include "ek_fft.h"

#define T       float
#define N(name) name##_f32
#include "resample_fft_rows.h"
#undef T
#undef N
#define T       double
#define N(name) name##_f64
#include "resample_fft_rows.h"
