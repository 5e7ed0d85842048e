/* ek_linalg.h: dense linear algebra. The only domain that includes cblas or LAPACK.
 *   ek_linalg_gemm_f32   one product on one thread (parallelism is the caller's, by
 * ek_parallel_for) ek_linalg_init       OpenBLAS to one thread; called once at import
 *   gemm_f64, cholesky, congruence, eigh, singular_values   double, one thread
 *   ek_linalg_config     what OpenBLAS says it is */
#ifndef EK_LINALG_H
#define EK_LINALG_H
#include "ek_core.h"

void ek_linalg_init(void);
const char *ek_linalg_config(void);
const char *ek_linalg_corename(void);

/* c (m, n) = a (m, k) @ b (k, n) + beta * c; trans_b: b is (n, k). Row-major, ld* elements between
 * rows. Any dimension above INT_MAX is EK_ESHAPE. */
EK_CHECK ek_status ek_linalg_gemm_f32(int trans_b, size_t m, size_t n, size_t k, const float *a,
                                      size_t lda, const float *b, size_t ldb, float beta, float *c,
                                      size_t ldc);

/* OpenBLAS back to one thread, should the process have been told otherwise (threadpoolctl): call it
 * before a parallel region whose pieces multiply. */
void ek_linalg_single(void);

/* c (m, n) = alpha * op(a) @ op(b) + beta * c, double, row-major; op transposes where asked. */
EK_CHECK ek_status ek_linalg_gemm_f64(int trans_a, int trans_b, size_t m, size_t n, size_t k,
                                      double alpha, const double *a, size_t lda, const double *b,
                                      size_t ldb, double beta, double *c, size_t ldc);

/* Symmetric a (d, d), full. Cholesky factor in place, column-major lower L with a = L L^T (the
 * other triangle is left as it was); EK_EVALUE where a is not positive definite. */
EK_CHECK ek_status ek_linalg_cholesky_f64(double *a, size_t d);
/* s := L^T s L, column-major lower triangle alone; l from ek_linalg_cholesky_f64. */
EK_CHECK ek_status ek_linalg_congruence_f64(const double *l, double *s, size_t d);
/* Eigenvalues w (d), ascending, of the column-major lower triangle of a, which is destroyed;
 * vectors: eigenvector k becomes row k of a. EK_EVALUE: no convergence. */
EK_CHECK ek_status ek_linalg_eigh_f64(int vectors, double *a, size_t d, double *w);
/* Singular values w (min(m, n)), descending, of a (m, n) row-major, which is destroyed. */
EK_CHECK ek_status ek_linalg_singular_values_f64(double *a, size_t m, size_t n, double *w);
#endif
