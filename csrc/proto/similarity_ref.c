#include "ek_proto.h"
#include <math.h>

ek_status ek_proto_similarity_ref(const float *x, const float *v, size_t n, size_t d, size_t t,
                                  size_t p, size_t w, const ek_proto_how *how, float *out) {
    if (w == 0 || w > t) return EK_ESHAPE;
    for (size_t i = 0; i < n; i++) {
        for (size_t q = 0; q < p; q++) {
            for (size_t s = 0; s + w <= t; s++) {
                double xv = 0.0, xx = how->eps, vv = how->eps, dd = 0.0;
                for (size_t c = 0; c < d; c++)
                    for (size_t j = 0; j < w; j++) {
                        const double a = x[(i * d + c) * t + s + j], b = v[(q * d + c) * w + j];
                        xv += a * b;
                        xx += a * a;
                        vv += b * b;
                        dd += (a - b) * (a - b);
                    }
                double y = -sqrt(dd);
                if (how->metric == EK_PROTO_COSINE)
                    y = xx > 0.0 && vv > 0.0 ? xv / (sqrt(xx) * sqrt(vv))
                                             : (isnan(xx + vv) ? NAN : 0.0);
                if (how->metric == EK_PROTO_L2_LOG) y = log((1.0 - y) / (1e-4 - y));
                *out++ = (float)y;
            }
        }
        const ek_status st = ek_poll();
        if (st != EK_OK) return st;
    }
    return EK_OK;
}
