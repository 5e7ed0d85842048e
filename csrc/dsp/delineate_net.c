/* The network of the delineator in plain C (four floats side by side, no fused multiply-add). */
#include <string.h>

typedef float vec __attribute__((vector_size(16)));
enum { LANES = 4, ACCUMULATORS = 8 };

static inline vec v_load(const float *p) {
    vec v;
    memcpy(&v, p, sizeof v);
    return v;
}
static inline void v_store(float *p, vec v) {
    memcpy(p, &v, sizeof v);
}
static inline vec v_set(float s) {
    return (vec){s, s, s, s};
}
static inline vec v_add(vec a, vec b) {
    return a + b;
}
static inline vec v_relu(vec a) {
    for (int i = 0; i < LANES; i++) a[i] = a[i] > 0.0f ? a[i] : 0.0f;
    return a;
}
static inline vec v_fma(vec a, vec b, vec c) {
    return a * b + c;
}

#include "delineate_net_impl.h"

const delin_net delin_net_ref = {phase_layers, encode, score};
