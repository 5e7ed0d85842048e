/* ek_linalg.h: dense linear algebra. The only domain that includes cblas or LAPACK.
 *   ek_linalg_gemm_f32   one product on one thread (parallelism is the caller's, by
 * ek_parallel_for) ek_linalg_init       OpenBLAS to one thread; called once at import
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
#endif
