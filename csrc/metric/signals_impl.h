/* Sums of a row and of a row of windows; ISA names the variant, whose flags widen the loops. */
enum { PLACES = 64 };

#define ROW(FLOAT, suffix)                                                                         \
    void NAME(ek_metric_row_##suffix)(const FLOAT *x, const FLOAT *y, size_t t, int about,         \
                                      double *out) {                                               \
        double sx = 0.0, sy = 0.0, apart = 0.0, square = 0.0;                                      \
        _Pragma("omp simd reduction(+ : sx, sy, apart, square)") for (size_t i = 0; i < t; i++) {  \
            const double a = (double)x[i], b = (double)y[i];                                       \
            sx += a;                                                                               \
            sy += b;                                                                               \
            apart += (a - b) * (a - b);                                                            \
            square += a * a;                                                                       \
        }                                                                                          \
        const double mx = sx / (double)t, my = sy / (double)t;                                     \
        double xx = 0.0, yy = 0.0, xy = 0.0;                                                       \
        const size_t last = about ? t : 0;                                                         \
        _Pragma("omp simd reduction(+ : xx, yy, xy)") for (size_t i = 0; i < last; i++) {          \
            const double a = (double)x[i] - mx, b = (double)y[i] - my;                             \
            xx += a * a;                                                                           \
            yy += b * b;                                                                           \
            xy += a * b;                                                                           \
        }                                                                                          \
        out[0] = apart;                                                                            \
        out[1] = square;                                                                           \
        out[2] = xx;                                                                               \
        out[3] = yy;                                                                               \
        out[4] = xy;                                                                               \
    }
ROW(float, f32)
ROW(double, f64)

double NAME(ek_metric_ssim_row)(const ek_metric_ssim *s, const double *x, const double *y,
                                double *tmp) {
    const size_t w = s->w, taps = s->taps;
    double *restrict u = tmp, *restrict v = u + w, *restrict uu = v + w, *restrict vv = uu + w,
                     *restrict uv = vv + w; /* the window's columns, added up */
    for (size_t k = 0; k < taps; k++) {
        const double *restrict a = x + k * w, *restrict b = y + k * w, g = s->weight[k];
        if (k == 0)
            for (size_t i = 0; i < w; i++) u[i] = v[i] = uu[i] = vv[i] = uv[i] = 0.0;
        for (size_t i = 0; i < w; i++) {
            const double ga = g * a[i], gb = g * b[i];
            u[i] += ga;
            v[i] += gb;
            uu[i] += ga * a[i];
            vv[i] += gb * b[i];
            uv[i] += ga * b[i];
        }
    }
    double total = 0.0;
    for (size_t first = 0; first < w - taps + 1; first += PLACES) {
        const size_t count = w - taps + 1 - first < PLACES ? w - taps + 1 - first : PLACES;
        double mu[PLACES] = {0}, mv[PLACES] = {0}, muu[PLACES] = {0}, mvv[PLACES] = {0};
        double muv[PLACES] = {0};
        for (size_t k = 0; k < taps; k++) {
            const double g = s->weight[k];
            const size_t at = first + k;
            for (size_t i = 0; i < count; i++) {
                mu[i] += g * u[at + i];
                mv[i] += g * v[at + i];
                muu[i] += g * uu[at + i];
                mvv[i] += g * vv[at + i];
                muv[i] += g * uv[at + i];
            }
        }
#pragma omp simd reduction(+ : total)
        for (size_t i = 0; i < count; i++) {
            const double squares = mu[i] * mu[i] + mv[i] * mv[i], product = mu[i] * mv[i];
            const double spread = s->norm * (muu[i] + mvv[i] - squares);
            const double both = s->norm * (muv[i] - product);
            total += ((2.0 * product + s->c1) * (2.0 * both + s->c2)) /
                     ((squares + s->c1) * (spread + s->c2));
        }
    }
    return total;
}
