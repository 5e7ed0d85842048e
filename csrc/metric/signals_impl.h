/* Sums of a row and of a row of windows; ISA names the variant, whose flags widen the loops, BYTES
 * the width of its vectors. */
typedef double vd __attribute__((vector_size(BYTES), aligned(8), may_alias));
enum { LANES = BYTES / 8 };

/* Without the means a row is walked in four parts at once: one sum would wait for itself. */
#define ROW(FLOAT, suffix)                                                                         \
    static void NAME(ends_##suffix)(const FLOAT *x, const FLOAT *y, size_t t, double *out) {       \
        const size_t q = t / 4;                                                                    \
        const FLOAT *x1 = x + q, *x2 = x1 + q, *x3 = x2 + q, *y1 = y + q, *y2 = y1 + q,            \
                    *y3 = y2 + q;                                                                  \
        double d0 = 0.0, d1 = 0.0, d2 = 0.0, d3 = 0.0, s0 = 0.0, s1 = 0.0, s2 = 0.0, s3 = 0.0;     \
        _Pragma("omp simd reduction(+ : d0, d1, d2, d3, s0, s1, s2, s3)") for (size_t i = 0;       \
                                                                               i < q; i++) {       \
            const double a0 = (double)x[i], a1 = (double)x1[i], a2 = (double)x2[i],                \
                         a3 = (double)x3[i];                                                       \
            const double e0 = a0 - (double)y[i], e1 = a1 - (double)y1[i], e2 = a2 - (double)y2[i], \
                         e3 = a3 - (double)y3[i];                                                  \
            d0 += e0 * e0;                                                                         \
            d1 += e1 * e1;                                                                         \
            d2 += e2 * e2;                                                                         \
            d3 += e3 * e3;                                                                         \
            s0 += a0 * a0;                                                                         \
            s1 += a1 * a1;                                                                         \
            s2 += a2 * a2;                                                                         \
            s3 += a3 * a3;                                                                         \
        }                                                                                          \
        for (size_t i = 4 * q; i < t; i++) {                                                       \
            const double a = (double)x[i], e = a - (double)y[i];                                   \
            d0 += e * e;                                                                           \
            s0 += a * a;                                                                           \
        }                                                                                          \
        out[0] = (d0 + d1) + (d2 + d3);                                                            \
        out[1] = (s0 + s1) + (s2 + s3);                                                            \
    }                                                                                              \
    void NAME(ek_metric_row_##suffix)(const FLOAT *x, const FLOAT *y, size_t t, int about,         \
                                      double *out) {                                               \
        out[2] = out[3] = out[4] = 0.0;                                                            \
        if (!about) {                                                                              \
            NAME(ends_##suffix)(x, y, t, out);                                                     \
            return;                                                                                \
        }                                                                                          \
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
        _Pragma("omp simd reduction(+ : xx, yy, xy)") for (size_t i = 0; i < t; i++) {             \
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

/* The window's columns of LANES places of the image, added up; sums lie `room` doubles apart. */
static inline void ssim_columns(const ek_metric_ssim *s, const double *x, const double *y,
                                size_t row, double *sums, size_t room) {
    vd u = {0}, v = {0}, uu = {0}, vv = {0}, uv = {0};
    for (size_t k = 0; k < s->taps; k++) {
        const vd a = *(const vd *)(x + k * row), b = *(const vd *)(y + k * row);
        const vd ga = s->weight[k] * a, gb = s->weight[k] * b;
        u += ga;
        v += gb;
        uu += ga * a;
        vv += gb * b;
        uv += ga * b;
    }
    *(vd *)sums = u;
    *(vd *)(sums + room) = v;
    *(vd *)(sums + 2 * room) = uu;
    *(vd *)(sums + 3 * room) = vv;
    *(vd *)(sums + 4 * room) = uv;
}

double NAME(ek_metric_ssim_row)(const ek_metric_ssim *s, const double *x, const double *y,
                                double *tmp) {
    const size_t w = s->w, taps = s->taps, room = w + EK_METRIC_SSIM_PAD, places = w - taps + 1;
    size_t at = 0;
    for (; at + LANES <= w; at += LANES) ssim_columns(s, x + at, y + at, w, tmp + at, room);
    for (; at < w; at++) /* the columns that fill no vector, and zeros after the last */
        for (size_t part = 0; part < 5; part++) {
            double sum = 0.0;
            for (size_t k = 0; k < taps; k++) {
                const double a = x[k * w + at], b = y[k * w + at];
                const double by[5] = {1.0, 1.0, a, b, b};
                sum += s->weight[k] * (part == 1 || part == 3 ? b : a) * by[part];
            }
            tmp[part * room + at] = sum;
        }
    for (size_t part = 0; part < 5; part++)
        memset(tmp + part * room + w, 0, EK_METRIC_SSIM_PAD * sizeof *tmp);
    vd total = {0};
    for (size_t first = 0; first < places; first += LANES) {
        vd mu = {0}, mv = {0}, muu = {0}, mvv = {0}, muv = {0};
        const double *from = tmp + first;
        for (size_t k = 0; k < taps; k++, from++) {
            const double g = s->weight[k];
            mu += g * *(const vd *)from;
            mv += g * *(const vd *)(from + room);
            muu += g * *(const vd *)(from + 2 * room);
            mvv += g * *(const vd *)(from + 3 * room);
            muv += g * *(const vd *)(from + 4 * room);
        }
        const vd squares = mu * mu + mv * mv, product = mu * mv;
        const vd spread = s->norm * (muu + mvv - squares), both = s->norm * (muv - product);
        vd here = ((2.0 * product + s->c1) * (2.0 * both + s->c2)) /
                  ((squares + s->c1) * (spread + s->c2));
        for (size_t v = places - first; v < LANES; v++) here[v] = 0.0;
        total += here;
    }
    double sum = 0.0;
    for (size_t v = 0; v < LANES; v++) sum += total[v];
    return sum;
}
