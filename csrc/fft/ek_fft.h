/* ek_fft.h: plans and their cache. The only domain that includes fftw3.h. */
#ifndef EK_FFT_H
#define EK_FFT_H
#include "ek_core.h"
#endif
