/* LAPACK and double products. Everything symmetric is read from the lower triangle of column-major
 * storage, which is the upper one of row-major; a full symmetric matrix is both. */
#include "ek_linalg.h"
#include <limits.h>
#include "cblas.h"
#include "lapacke.h"

#define EK_BLAS(name) scipy_##name

void ek_linalg_single(void) {
    if (EK_BLAS(openblas_get_num_threads)() != 1) EK_BLAS(openblas_set_num_threads)(1);
}

static ek_status status(lapack_int info) {
    if (info == 0) return EK_OK;
    return info == LAPACK_WORK_MEMORY_ERROR || info == LAPACK_TRANSPOSE_MEMORY_ERROR ? EK_ENOMEM
           : info > 0                                                                ? EK_EVALUE
                                                                                     : EK_EINTERNAL;
}

ek_status ek_linalg_gemm_f64(int trans_a, int trans_b, size_t m, size_t n, size_t k, double alpha,
                             const double *a, size_t lda, const double *b, size_t ldb, double beta,
                             double *c, size_t ldc) {
    if (m > INT_MAX || n > INT_MAX || k > INT_MAX || lda > INT_MAX || ldb > INT_MAX ||
        ldc > INT_MAX)
        return EK_ESHAPE;
    if (m == 0 || n == 0) return EK_OK;
    EK_BLAS(cblas_dgemm)
    (CblasRowMajor, trans_a ? CblasTrans : CblasNoTrans, trans_b ? CblasTrans : CblasNoTrans,
     (int)m, (int)n, (int)k, alpha, a, (int)lda, b, (int)ldb, beta, c, (int)ldc);
    return EK_OK;
}

ek_status ek_linalg_cholesky_f64(double *a, size_t d) {
    if (d > INT_MAX) return EK_ESHAPE;
    return d ? status(
                   EK_BLAS(LAPACKE_dpotrf)(LAPACK_COL_MAJOR, 'L', (lapack_int)d, a, (lapack_int)d))
             : EK_OK;
}

ek_status ek_linalg_congruence_f64(const double *l, double *s, size_t d) {
    if (d > INT_MAX) return EK_ESHAPE;
    return status(EK_BLAS(LAPACKE_dsygst)(LAPACK_COL_MAJOR, 2, 'L', (lapack_int)d, s, (lapack_int)d,
                                          l, (lapack_int)d));
}

ek_status ek_linalg_eigh_f64(int vectors, double *a, size_t d, double *w) {
    if (d > INT_MAX) return EK_ESHAPE;
    return d ? status(EK_BLAS(LAPACKE_dsyevd)(LAPACK_COL_MAJOR, vectors ? 'V' : 'N', 'L',
                                              (lapack_int)d, a, (lapack_int)d, w))
             : EK_OK;
}

ek_status ek_linalg_singular_values_f64(double *a, size_t m, size_t n, double *w) {
    double none[1];
    if (m > INT_MAX || n > INT_MAX) return EK_ESHAPE;
    if (m == 0 || n == 0) return EK_OK;
    /* a row-major (m, n) is column-major (n, m), with the same singular values */
    return status(EK_BLAS(LAPACKE_dgesdd)(LAPACK_COL_MAJOR, 'N', (lapack_int)n, (lapack_int)m, a,
                                          (lapack_int)n, w, none, 1, none, 1));
}
