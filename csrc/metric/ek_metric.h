/* ek_metric.h: figures of merit.
 *   rank      order scores once: metric_order, then area, average precision, DeLong influences
 *   resample  the same two figures for many resamples of one order
 *   curves    discrete Frechet distance
 *   gaussian  moments, trace of a root of a product, cubic kernel sums
 *   phenotypes  sums of ranks of many outcomes' cases
 *   signals   errors per row, structural similarity
 *   decisions thresholds swept, confusion, ranking per record, calibration bins
 * n records, c classes, b resamples. Labels are bytes 0 or 1, checked by the caller. */
#ifndef EK_METRIC_H
#define EK_METRIC_H
#include "ek_core.h"

/* -------------------------------------------------------------------- rank
 * An order: for every class the records by ascending score, as words
 *   row | EK_ORDER_POSITIVE (label 1) | EK_ORDER_LAST (last of its group of equal scores). */
#define EK_ORDER_POSITIVE 0x80000000u
#define EK_ORDER_LAST     0x40000000u
#define EK_ORDER_ROW      0x3fffffffu

/* order (c, n) from labels y (n, c; NULL: all 0) and scores s (n, c). Stable; -0 equals 0;
 * infinities are ordered. A NaN score is EK_EVALUE; n above EK_ORDER_ROW is EK_ESHAPE. */
EK_CHECK ek_status ek_metric_order_f32(const uint8_t *y, const float *s, size_t n, size_t c,
                                       uint32_t *order);
EK_CHECK ek_status ek_metric_order_f64(const uint8_t *y, const double *s, size_t n, size_t c,
                                       uint32_t *order);

/* Area under the ROC curve, equal scores counting half: exact integers, one division. NaN where a
 * class has no positive or no negative. out (c). */
EK_CHECK ek_status ek_metric_auroc(const uint32_t *order, size_t n, size_t c, double *out);
/* Average precision, sum of (R_k - R_k-1) P_k over descending groups of equal scores; NaN without
 * a positive. out (c). */
EK_CHECK ek_status ek_metric_average_precision(const uint32_t *order, size_t n, size_t c,
                                               double *out);
/* DeLong's structural components as influences: phi (c, n) by row, so that phi phi^T is DeLong's
 * covariance of the areas. Needs two positives and two negatives per class, else the row is NaN.
 * area (c). */
EK_CHECK ek_status ek_metric_delong(const uint32_t *order, size_t n, size_t c, double *area,
                                    double *phi);

/* ---------------------------------------------------------------- resample
 * index (b, m): the units drawn, each in 0..units-1 (checked: EK_EVALUE). member (n) maps a record
 * to its unit; NULL: the record is its own unit (units == n). A record counts as often as its unit
 * was drawn. out (b, c), NaN where the figure is undefined in the draw. */
typedef enum { EK_FIGURE_AUROC, EK_FIGURE_AVERAGE_PRECISION } ek_metric_figure;
EK_CHECK ek_status ek_metric_resample(ek_metric_figure figure, const uint32_t *order, size_t n,
                                      size_t c, const int32_t *index, size_t b, size_t m,
                                      const int32_t *member, size_t units, double *out);

/* One class over `lanes` draws. count (units, lanes): how often each unit was drawn. order holds
 * units in place of records. Sums: twice_u, positives, negatives per lane. The byte variants need
 * every lane's draws to weigh at most 65535 records in all. */
enum { EK_BOOT_LANES = 64 };
typedef void (*ek_metric_boot_u8_fn)(const uint32_t *order, size_t n, const uint8_t *count,
                                     uint32_t *twice_u, uint32_t *positives, uint32_t *negatives);
void ek_metric_boot_u8_ref(const uint32_t *order, size_t n, const uint8_t *count, uint32_t *twice_u,
                           uint32_t *positives, uint32_t *negatives);
void ek_metric_boot_u8_avx2(const uint32_t *order, size_t n, const uint8_t *count,
                            uint32_t *twice_u, uint32_t *positives, uint32_t *negatives);
void ek_metric_boot_u8_avx512(const uint32_t *order, size_t n, const uint8_t *count,
                              uint32_t *twice_u, uint32_t *positives, uint32_t *negatives);

/* ---------------------------------------------------------------- decisions
 * sweep: k ascending thresholds, a label is called where its score >= the threshold. out (k, 3):
 * sum over records of precision (where anything is called), number of such records, sum of recall
 * (where a label is true). counts (c, k, 2): true positives and calls per class. *labelled: records
 * with a true label. NaN scores are EK_EVALUE. Scratch: 16 times the outputs. */
EK_CHECK ek_status ek_metric_sweep_f32(const uint8_t *y, const float *s, size_t n, size_t c,
                                       const double *threshold, size_t k, double *out,
                                       int64_t *counts, size_t *labelled);
EK_CHECK ek_status ek_metric_sweep_f64(const uint8_t *y, const double *s, size_t n, size_t c,
                                       const double *threshold, size_t k, double *out,
                                       int64_t *counts, size_t *labelled);

/* out (c, 4): true positive, false positive, false negative, true negative; a record weighs
 * weight[i], or 1 where weight is NULL. */
EK_CHECK ek_status ek_metric_confusion(const uint8_t *y, const uint8_t *p, size_t n, size_t c,
                                       const double *weight, double *out);

/* Per record, out (n, 3): ranking loss (share of pairs of a true and a false label that are not in
 * order, equal counting as wrong), coverage (how far down the list the last true label is), label
 * ranking average precision. All labels or none: loss 0, precision 1, coverage c or 0.
 * Takes c times the number of true labels, or with `coverage` c: then that column alone is
 * meant, and the others are 0 and 1. NaN scores are EK_EVALUE. */
EK_CHECK ek_status ek_metric_ranking_f32(const uint8_t *y, const float *s, size_t n, size_t c,
                                         int coverage, double *out);
EK_CHECK ek_status ek_metric_ranking_f64(const uint8_t *y, const double *s, size_t n, size_t c,
                                         int coverage, double *out);
/* The coverage of n records into column 1 of out; true where a score is NaN. */
typedef int (*ek_metric_depth_f32_fn)(const uint8_t *y, const float *s, size_t n, size_t c,
                                      double *out);
typedef int (*ek_metric_depth_f64_fn)(const uint8_t *y, const double *s, size_t n, size_t c,
                                      double *out);
#define EK_METRIC_DEPTH_DECLARE(isa)                                                               \
    int ek_metric_depth_f32_##isa(const uint8_t *y, const float *s, size_t n, size_t c,            \
                                  double *out);                                                    \
    int ek_metric_depth_f64_##isa(const uint8_t *y, const double *s, size_t n, size_t c,           \
                                  double *out)
EK_METRIC_DEPTH_DECLARE(ref);
EK_METRIC_DEPTH_DECLARE(avx2);
EK_METRIC_DEPTH_DECLARE(avx512);

/* Bins of equal width over 0..1 (the first bin holds 0, a bin its lower edge, the last also 1).
 * out (c, bins, 3): records, sum of p, sum of y; square (c): sum of (p - y)^2. Values outside 0..1
 * or NaN are EK_EVALUE. */
EK_CHECK ek_status ek_metric_calibration_f32(const uint8_t *y, const float *p, size_t n, size_t c,
                                             size_t bins, double *out, double *square);
EK_CHECK ek_status ek_metric_calibration_f64(const uint8_t *y, const double *p, size_t n, size_t c,
                                             size_t bins, double *out, double *square);

/* ------------------------------------------------------------------- curves
 * Discrete Frechet distance of `pairs` pairs of curves p (n) and q (m), p_stride and q_stride
 * elements between one and the next (0: the same again). scale < 0: points lie |p_i - q_j| apart;
 * else sqrt((scale (i - j))^2 + (p_i - q_j)^2), squared throughout and one root at the end.
 * band: |i - j| <= band, at least |n - m| (else EK_EVALUE). A value above limit is +inf, and the
 * walk stops as soon as that is sure. A curve with a sample that is not finite gives NaN.
 * Memory: O(n + m). Every variant gives the bits of the recursion as printed. */
EK_CHECK ek_status ek_metric_frechet_f32(const float *p, size_t p_stride, size_t n, const float *q,
                                         size_t q_stride, size_t m, size_t pairs, double scale,
                                         size_t band, double limit, float *out);
EK_CHECK ek_status ek_metric_frechet_f64(const double *p, size_t p_stride, size_t n,
                                         const double *q, size_t q_stride, size_t m, size_t pairs,
                                         double scale, size_t band, double limit, double *out);
/* One coupling that reaches the distance: path (n + m - 1, 2) holds *length pairs (i, j) from
 * (0, 0) to the end; diagonal steps preferred. Scratch: n m bytes. */
EK_CHECK ek_status ek_metric_coupling(const double *p, size_t n, const double *q, size_t m,
                                      double scale, int64_t *path, size_t *length);

/* ----------------------------------------------------------------- gaussian
 * Mean (d) and covariance (d, d) by n-1 of rows x (n, d): two passes, sums in double. cov or
 * centred (n, d) may be NULL. n of at least 2. Scratch: 512 d doubles. */
EK_CHECK ek_status ek_metric_moments_f32(const float *x, size_t n, size_t d, double *mean,
                                         double *cov, double *centred);
EK_CHECK ek_status ek_metric_moments_f64(const double *x, size_t n, size_t d, double *mean,
                                         double *cov, double *centred);

typedef struct {
    double trace;   /* of (S1 S2)^(1/2) */
    double clipped; /* sum of eigenvalues below zero that were set to zero, as a positive number */
    size_t rank1, rank2;
    int full; /* the Cholesky route was accurate enough; ranks are d */
} ek_metric_root;

/* Trace of the root of s1 s2, both (d, d) symmetric. Eigenvalues of L^T S2 L where their rounding
 * moves the trace by less than 1e-10 of it, else singular values of the product of rank-revealing
 * factors (eigenvalues below d eps of the largest are 0). EK_EVALUE: an eigenvalue below -1e-6 of
 * the largest. Scratch: 5 d^2 doubles. */
EK_CHECK ek_status ek_metric_root_trace(const double *s1, const double *s2, size_t d,
                                        ek_metric_root *out);
/* f (d, d): rows with f^T f = s, the first *rank of them not zero. */
EK_CHECK ek_status ek_metric_factor(const double *s, size_t d, double *f, size_t *rank,
                                    double *clipped);
/* Sum of the singular values of f1 f2^T, f1 (r1, d), f2 (r2, d): the trace of the root of
 * (f1^T f1) (f2^T f2), exact whatever the ranks. Scratch: r1 r2 doubles. */
EK_CHECK ek_status ek_metric_nuclear(const double *f1, size_t r1, const double *f2, size_t r2,
                                     size_t d, double *out);

/* Sum over i, j of (gamma x_i . y_j + coef)^3, x (n, d), y (m, d); same: x is y, i = j is left
 * out. */
EK_CHECK ek_status ek_metric_cubic_sum(const double *x, size_t n, const double *y, size_t m,
                                       size_t d, int same, double gamma, double coef, double *out);

/* ------------------------------------------------------------------ signals
 * Per row of x and y (n, t), out (n, 5): sum (x-y)^2, sum x^2, and about the rows' means the sums
 * of x^2, y^2 and x y (0 without `about`). Double, two passes. NaN stays in its row. t of at
 * least 1. */
typedef void (*ek_metric_row_f32_fn)(const float *x, const float *y, size_t t, int about,
                                     double *out);
typedef void (*ek_metric_row_f64_fn)(const double *x, const double *y, size_t t, int about,
                                     double *out);
#define EK_METRIC_SIGNAL_DECLARE(isa)                                                              \
    void ek_metric_row_f32_##isa(const float *x, const float *y, size_t t, int about,              \
                                 double *out);                                                     \
    void ek_metric_row_f64_##isa(const double *x, const double *y, size_t t, int about,            \
                                 double *out);                                                     \
    double ek_metric_ssim_row_##isa(const ek_metric_ssim *s, const double *x, const double *y,     \
                                    double *tmp)

/* Structural similarity of images (h, w): mean over the places where the window, the outer product
 * of weight (taps) with itself, lies inside. norm: factor of the variances; c1, c2: the constants.
 * An image smaller than the window is EK_ESHAPE. out (n). Scratch of a row: 5 (w +
 * EK_METRIC_SSIM_PAD) doubles. */
enum { EK_METRIC_SSIM_PAD = 8 };
typedef struct {
    const double *weight;
    size_t taps, h, w;
    double norm, c1, c2;
} ek_metric_ssim;
/* Sum over one row of places; x and y point to the window's first row. */
EK_METRIC_SIGNAL_DECLARE(ref);
EK_METRIC_SIGNAL_DECLARE(avx2);
EK_METRIC_SIGNAL_DECLARE(avx512);

EK_CHECK ek_status ek_metric_rows_f32(const float *x, const float *y, size_t n, size_t t, int about,
                                      double *out);
EK_CHECK ek_status ek_metric_rows_f64(const double *x, const double *y, size_t n, size_t t,
                                      int about, double *out);
EK_CHECK ek_status ek_metric_ssim_f64(const ek_metric_ssim *s, const double *x, const double *y,
                                      size_t n, double *out);

/* --------------------------------------------------------------- phenotypes
 * From an order (p, n) of p features: twice the sum of mid-ranks (from 1) of the cases of every
 * outcome, out (p, d), exact below 2^53; ties (p): sum of t^3 - t over groups of t equal scores.
 * Outcome k has the cases start[k]..start[k+1]-1, records 0..n-1 (checked: EK_EVALUE). */
EK_CHECK ek_status ek_metric_rank_sums(const uint32_t *order, size_t n, size_t p,
                                       const int64_t *start, const int32_t *cases, size_t d,
                                       double *out, double *ties);

/* Sums of unit vectors by class: length (n) of the rows of x (n, d), sums (k, d) of x / length over
 * the rows of every class; member (n) in 0..k-1 (checked). A row of length 0 or one that is not
 * finite is EK_EVALUE. Same bits for any thread count. */
EK_CHECK ek_status ek_metric_class_sums(const double *x, size_t n, size_t d, const int64_t *member,
                                        size_t k, double *length, double *sums);
#endif
