#include "ek_linalg.h"
#include <limits.h>
#include "cblas.h"

#define EK_BLAS(name) scipy_##name /* scipy-openblas32 prefixes every symbol */

void ek_linalg_init(void) {
    EK_BLAS(openblas_set_num_threads)(1);
}

const char *ek_linalg_config(void) {
    return EK_BLAS(openblas_get_config)();
}

const char *ek_linalg_corename(void) {
    return EK_BLAS(openblas_get_corename)();
}

ek_status ek_linalg_gemm_f32(int trans_b, size_t m, size_t n, size_t k, const float *a, size_t lda,
                             const float *b, size_t ldb, float beta, float *c, size_t ldc) {
    if (m > INT_MAX || n > INT_MAX || k > INT_MAX || lda > INT_MAX || ldb > INT_MAX ||
        ldc > INT_MAX)
        return EK_ESHAPE;
    if (m == 0 || n == 0) return EK_OK;
    EK_BLAS(cblas_sgemm)
    (CblasRowMajor, CblasNoTrans, trans_b ? CblasTrans : CblasNoTrans, (int)m, (int)n, (int)k, 1.0f,
     a, (int)lda, b, (int)ldb, beta, c, (int)ldc);
    return EK_OK;
}
