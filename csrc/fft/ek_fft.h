/* ek_fft.h: plans and their cache. The only domain that includes fftw3.h.
 *   lengths  ek_fft_good_size
 *   plans    ek_fft_get, ek_fft_put, ek_fft_run_f32, ek_fft_run_f64
 *   cache    ek_fft_cache_count, ek_fft_cache_clear, ek_fft_effort
 *   wisdom   ek_fft_wisdom_export, ek_fft_wisdom_import
 * Complex numbers are interleaved pairs (re, im). No transform is normalised. */
#ifndef EK_FFT_H
#define EK_FFT_H
#include "ek_core.h"

typedef enum {
    EK_FFT_R2C,      /* n reals -> n/2+1 complex */
    EK_FFT_C2R,      /* n/2+1 complex -> n reals; destroys its input */
    EK_FFT_FORWARD,  /* n complex -> n complex, exp(-i...) */
    EK_FFT_BACKWARD, /* n complex -> n complex, exp(+i...) */
} ek_fft_kind;

typedef enum { EK_FFT_F32, EK_FFT_F64 } ek_fft_type;

enum { EK_FFT_CACHE_LIMIT = 128 }; /* plans kept at most, not counting those in use */

typedef struct ek_fft_plan ek_fft_plan;

/* A plan of length n >= 1 from the cache, made if absent; give every one back with ek_fft_put. Any
 * thread may call; the lock is held while FFTW plans. With the default effort the same length
 * always gives the same plan, hence the same bits. */
EK_CHECK ek_status ek_fft_get(ek_fft_kind kind, ek_fft_type type, size_t n, ek_fft_plan **plan);
void ek_fft_put(ek_fft_plan *plan); /* NULL is fine */

/* Out of place, without a lock: any number of threads may run one plan. in and out are 64-byte
 * aligned (arena memory) and do not overlap. The type must be the plan's. */
void ek_fft_run_f32(const ek_fft_plan *plan, float *in, float *out);
void ek_fft_run_f64(const ek_fft_plan *plan, double *in, double *out);

/* The smallest 2^a, 3*2^a or 5*2^a that is >= n. */
size_t ek_fft_good_size(size_t n);

size_t ek_fft_cache_count(void);
void ek_fft_cache_clear(void); /* plans in use go when they are given back */

/* 0: estimate (the default, no timing runs); 1: measure. Plans that exist stay. Returns the setting
 * before. */
int ek_fft_effort(int effort);

/* FFTW's wisdom as text: *text is malloc'ed for the caller. Import adds to what is known and drops
 * the cached plans; EK_EFORMAT if FFTW does not accept the text. */
EK_CHECK ek_status ek_fft_wisdom_export(ek_fft_type type, char **text);
EK_CHECK ek_status ek_fft_wisdom_import(ek_fft_type type, const char *text);

const char *ek_fft_version(void);

#endif
