/* image_impl.h: from a stacked scalogram to a scaled picture or a CNN's input. Not for other
 * domains. */
#ifndef EK_IMAGE_IMPL_H
#define EK_IMAGE_IMPL_H
#include "ek_core.h"

/* Area resampling of one axis: output cell o covers the input interval [o*n/m, (o+1)*n/m); its
 * value is the mean over it. */
typedef struct {
    size_t n, m;
    uint32_t *first, *count;
    float *weight; /* (m, most) */
    size_t most;
} ek_area;

EK_CHECK ek_status ek_area_make(size_t n, size_t m, ek_area *a, ek_arena *tmp);

/* picture (rows->n, cols->n) -> out (rows->m, cols->m). line: cols->n floats of scratch. */
void ek_area_resize_f32(const float *picture, const ek_area *rows, const ek_area *cols, float *line,
                        float *out);

/* x to [0, 1] in place by its own least and greatest value; flat becomes 0; a NaN makes all of it
 * NaN. */
void ek_minmax_f32(float *x, size_t n);
void ek_minmax_f32_ref(float *x, size_t n);
void ek_minmax_f32_avx2(float *x, size_t n);

/* grey (n) in [0, 1] (jet clips it) -> out (3, n): grey or jet, minus ImageNet's mean, over its
 * deviation. */
void ek_imagenet_f32(const float *grey, size_t n, int jet, float *out);

#endif
