/* ek_dsp.h: one-dimensional signals.
 *   ek_dsp_zscore_f32   zero mean and unit deviation per row
 *   ek_dsp_median_*     running median
 *   ek_dsp_resample_*   another rate: polyphase FIR, linear, through the spectrum
 *   ek_dsp_correlate_f64 cross- and autocorrelation
 *   ek_dsp_filtfilt_*   recursive filter forward and backward
 *   ek_dsp_rpeaks_f32   R peaks of one or several leads
 *   ek_dsp_delineate_f32  onset, peak and offset of P, QRS and T
 *   ek_dsp_measure_f32  amplitudes and ST segment
 *   ek_dsp_median_beat_f32, _align_beats_f32  templates
 *   ek_dsp_template_matches_f64, _dfa_f64, _lomb_f64  heart-rate variability
 *   ek_dsp_quality_f32  what is wrong with a lead, in numbers */
#ifndef EK_DSP_H
#define EK_DSP_H
#include "ek_core.h"

/* Rows of x (n, t) to zero mean and unit population standard deviation, into out (n, t); out may be
 * x. eps is added to the deviation. A constant row becomes 0. A NaN anywhere makes its row NaN.
 * Sums run in double, in two passes. No scratch. */
EK_CHECK ek_status ek_dsp_zscore_f32(const float *x, size_t n, size_t t, double eps, float *out);
EK_CHECK ek_status ek_dsp_zscore_f64(const double *x, size_t n, size_t t, double eps, double *out);

typedef void (*ek_dsp_zscore_f32_fn)(const float *x, size_t t, double eps,
                                     float *out); /* one row */
void ek_dsp_zscore_row_f32_ref(const float *x, size_t t, double eps, float *out);
void ek_dsp_zscore_row_f32_avx2(const float *x, size_t t, double eps, float *out);

/* ------------------------------------------------------------------ resample
 * Rows of x (n, t) at up/down times their rate, into out (n, m), m = ceil(t*up/down); up and down
 * coprime. */

/* Polyphase FIR: out[i] = sum over j < k of taps[p][j] * xe[b + j - reach], b = i*down / up, p =
 * i*down % up. taps (up, k), k a multiple of EK_FIR_LANES (zero filled). xe is x continued by point
 * reflection about its end samples (2 x[0] - x[-s]), then held. A NaN spoils the outputs whose k
 * samples touch it. f32 sums in f32 (ref: double). */
enum { EK_FIR_LANES = 16 };

EK_CHECK ek_status ek_dsp_resample_fir_f32(const float *x, size_t n, size_t t, const float *taps,
                                           size_t up, size_t down, size_t k, size_t reach,
                                           float *out);
EK_CHECK ek_status ek_dsp_resample_fir_f64(const double *x, size_t n, size_t t, const double *taps,
                                           size_t up, size_t down, size_t k, size_t reach,
                                           double *out);

/* Straight line between neighbours; after the last sample that sample. A sample hit exactly is
 * copied. */
EK_CHECK ek_status ek_dsp_resample_linear_f32(const float *x, size_t n, size_t t, size_t up,
                                              size_t down, float *out);
EK_CHECK ek_status ek_dsp_resample_linear_f64(const double *x, size_t n, size_t t, size_t up,
                                              size_t down, double *out);

/* The trigonometric interpolant of the row as one period, in double. A period has the next multiple
 * of `down` samples: what the row lacks is a straight line from its last sample back to its first.
 * A NaN spoils its row. */
EK_CHECK ek_status ek_dsp_resample_fft_f32(const float *x, size_t n, size_t t, size_t up,
                                           size_t down, float *out);
EK_CHECK ek_status ek_dsp_resample_fft_f64(const double *x, size_t n, size_t t, size_t up,
                                           size_t down, double *out);

/* m outputs of one row from phase 0 on; xe[0] is the first sample that output 0 touches. align > 1:
 * taps (up, align, k), those of offset a begin with a zeros, and every window is read from a
 * multiple of `align` samples on. k is a multiple of the vector. */
typedef void (*ek_dsp_fir_f32_fn)(const float *xe, const float *taps, size_t up, size_t down,
                                  size_t k, size_t align, size_t m, float *out);
typedef void (*ek_dsp_fir_f64_fn)(const double *xe, const double *taps, size_t up, size_t down,
                                  size_t k, size_t align, size_t m, double *out);
void ek_dsp_fir_f32_ref(const float *, const float *, size_t, size_t, size_t, size_t, size_t,
                        float *);
void ek_dsp_fir_f64_ref(const double *, const double *, size_t, size_t, size_t, size_t, size_t,
                        double *);
void ek_dsp_fir_f32_avx2(const float *, const float *, size_t, size_t, size_t, size_t, size_t,
                         float *);
void ek_dsp_fir_f64_avx2(const double *, const double *, size_t, size_t, size_t, size_t, size_t,
                         double *);

/* -------------------------------------------------------------------- median
 * Running median of `size` samples (odd, <= 2t-1) about each sample of the rows of x (n, t), into
 * out (n, t); out may be x. Beyond the ends: zeros, the mirrored row with its end sample repeated
 * (d c b a | a b c d | d c b a), or the end sample. A window that holds a NaN gives NaN. Exact:
 * every result is a sample (or 0). Scratch: about 30*(t + size) bytes. */
typedef enum { EK_EDGE_ZERO, EK_EDGE_REFLECT, EK_EDGE_NEAREST } ek_dsp_edge;

EK_CHECK ek_status ek_dsp_median_f32(const float *x, size_t n, size_t t, size_t size,
                                     ek_dsp_edge edge, float *out);
EK_CHECK ek_status ek_dsp_median_f64(const double *x, size_t n, size_t t, size_t size,
                                     ek_dsp_edge edge, double *out);

/* -------------------------------------------------------------------- beats
 * R peaks of x (lead, t) at fs Hz, fused over the leads; the sign and unit of a lead do not matter.
 * peaks has room for ek_dsp_rpeaks_room(t, fs); *count are written, ascending. Samples that are not
 * finite are bridged and hold no beat. Less than half a second, or flat: none. constants NULL: the
 * built-in ones; otherwise as many as ek_dsp_rpeaks_constants says (it writes the built-in ones to
 * out unless that is NULL), in the order of qrs_params: for their search. */
#define EK_RPEAKS_FS_MIN 50.0
#define EK_RPEAKS_FS_MAX 2000.0

size_t ek_dsp_rpeaks_room(size_t t, double fs);
size_t ek_dsp_rpeaks_constants(double *out);
EK_CHECK ek_status ek_dsp_rpeaks_f32(const float *x, size_t lead, size_t t, double fs,
                                     const double *constants, int64_t *peaks, size_t *count);

/* --------------------------------------------------------------------- waves
 * Nine points of each beat in each lead of x (n, lead, t) at fs Hz: onset, peak, offset of P, of
 * QRS, of T, as samples; -1 where the wave is absent, cut by an end, or bounded by samples that are
 * not finite. peaks: ascending R peaks of record i at start[i]..start[i + 1]; start (n + 1). w:
 * ek_dsp_delineate_weights() floats, laid out in delineate_net.h. points (start[n], lead + 1, 9);
 * the last row is all leads together: the earliest onset and the latest offset that as many leads
 * as `need` = min(3, half of those with the wave) confirm; the median where none is confirmed.
 * Amplitudes may have any unit. */
enum { EK_DELINEATE_POINTS = 9 };

size_t ek_dsp_delineate_weights(void);
EK_CHECK ek_status ek_dsp_delineate_f32(const float *x, size_t n, size_t lead, size_t t, double fs,
                                        const int64_t *peaks, const int64_t *start, const float *w,
                                        int64_t *points);

/* What the waves of `count` beats measure, from points (count, lead + 1, 9) as above: out (count,
 * lead, EK_MEASURE_COUNT) in the unit of x (lead, t), NaN where the wave is absent. The level of
 * reference is the mean of the last 20 ms before the QRS, for P the line through its bounds. */
enum {
    EK_MEASURE_P,
    EK_MEASURE_Q, /* lowest before R; a QRS without R is all Q */
    EK_MEASURE_R,
    EK_MEASURE_S, /* lowest after R */
    EK_MEASURE_T,
    EK_MEASURE_J, /* level at the end of the QRS, 60 and 80 ms later */
    EK_MEASURE_J60,
    EK_MEASURE_J80,
    EK_MEASURE_SLOPE,    /* per second, over 80 ms from J on */
    EK_MEASURE_QRS_AREA, /* unit of x times s */
    EK_MEASURE_P_AREA,
    EK_MEASURE_T_AREA,
    EK_MEASURE_COUNT,
};

EK_CHECK ek_status ek_dsp_measure_f32(const float *x, size_t lead, size_t t, double fs,
                                      const int64_t *points, size_t count, double *out);

/* ----------------------------------------------------------------- templates
 * out (lead, length): the median over beats of x (lead, t) from beats[b] - before on; samples
 * beyond the ends or not finite are left out, NaN where none is left. */
EK_CHECK ek_status ek_dsp_median_beat_f32(const float *x, size_t lead, size_t t,
                                          const int64_t *beats, size_t count, size_t before,
                                          size_t length, float *out);
/* Moves each beat by up to `reach` samples to where its window correlates best with mid (lead,
 * length), mean over leads, into out (count): NaN where no lead has a window without gaps that
 * varies. */
EK_CHECK ek_status ek_dsp_align_beats_f32(const float *x, size_t lead, size_t t, const float *mid,
                                          size_t before, size_t length, size_t reach,
                                          int64_t *beats, size_t count, double *out);

/* ---------------------------------------------------------------- variability
 * out (3, n), per template i of x (n): how many templates of length m lie within r in every element
 * (itself included); of length m + 1; of length m without the last template. 0 beyond the last. */
EK_CHECK ek_status ek_dsp_template_matches_f64(const double *x, size_t n, size_t m, double r,
                                               int64_t *out);
/* out (count): root mean square about straight lines in windows of the given lengths (>= 2), half
 * overlapping, of the profile x (n); NaN where every window lies on a line, or none fits. */
EK_CHECK ek_status ek_dsp_dfa_f64(const double *x, size_t n, const int64_t *window, size_t count,
                                  double *out);
/* Lomb-Scargle periodogram of x (n) at times t (s), freq (count) in Hz: |X|^2 / n for even times.
 */
EK_CHECK ek_status ek_dsp_lomb_f64(const double *t, const double *x, size_t n, const double *freq,
                                   size_t count, double *out);

/* ------------------------------------------------------------------- quality
 * out (lead, EK_QUALITY_COUNT) for x (lead, t) in mV at fs Hz. What cannot be judged (too short,
 * rate too low) is NaN. Samples that are not finite count as missing and are bridged for the rest.
 */
enum {
    EK_QUALITY_MISSING,   /* share of samples that are not finite */
    EK_QUALITY_FLAT,      /* share in stretches of 0.5 s or more within 5 uV */
    EK_QUALITY_SATURATED, /* share in runs (>= 3 samples and 16 ms) of exactly the largest or
                             smallest value */
    EK_QUALITY_STEPS,     /* jumps of the 0.62 s running median by 0.3 mV or more within 40 ms */
    EK_QUALITY_WANDER,    /* mV: 5-95 % range of that running median */
    EK_QUALITY_MAINS,  /* mV: amplitude at 50 or 60 Hz above its neighbourhood, median over seconds
                        */
    EK_QUALITY_MUSCLE, /* mV: median amplitude in the band around 35 Hz (8 Hz sigma) */
    EK_QUALITY_COUNT,
};

EK_CHECK ek_status ek_dsp_quality_f32(const float *x, size_t lead, size_t t, double fs,
                                      double *out);

/* ------------------------------------------------------------------ filtfilt
 * A cascade of recursive sections, each of the same order >= 1: coef (sections, 2*order + 1) holds
 * b[0..order] and a[1..order] (a[0] = 1) of each, zi (sections, order) the state for a constant 1
 * at the input of the cascade. */
typedef struct {
    size_t sections, order;
    const double *coef, *zi;
    size_t pad;
} ek_iir;

/* Rows of x (n, t) forward and backward through one filter after the other, into out (n, t), which
 * may be x. For each filter a row is continued by its `pad` < t samples of odd extension on both
 * sides. Everything is computed in double, from the first filter to the last; a NaN spoils its row.
 * Scratch: 8*(t + 2 pad)*lanes. */
EK_CHECK ek_status ek_dsp_filtfilt_f32(const float *x, size_t n, size_t t, const ek_iir *f,
                                       size_t filters, float *out);
EK_CHECK ek_status ek_dsp_filtfilt_f64(const double *x, size_t n, size_t t, const ek_iir *f,
                                       size_t filters, double *out);

/* ----------------------------------------------------------------- correlate
 * out (n, 2*lags + 1), lag l of -lags..lags at l + lags: sum over i of x[i] y[i + l] for each row
 * of x and y (n, t), lags < t. y NULL: the row with itself, out (n, lags + 1) from lag 0 on.
 * normalize: rows are centred first and the sum is divided by t times both population deviations; a
 * constant row gives 0. A NaN spoils its row. */
EK_CHECK ek_status ek_dsp_correlate_f64(const double *x, const double *y, size_t n, size_t t,
                                        size_t lags, int normalize, double *out);

#endif
