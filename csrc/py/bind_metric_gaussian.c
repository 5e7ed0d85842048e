/* Distances of feature sets: moments, roots of covariances, kernel sums. */
#include "ekpy.h"
#include "ek_metric.h"

static PyObject *py_metric_moments(PyObject *mod, PyObject *const *args, Py_ssize_t nargs,
                                   PyObject *kw) {
    static const ekpy_sig sig = {
        "metric_moments", {"x", "covariance", "centred", "threads", NULL},
         3
    };
    PyObject *a[EKPY_MAX_ARGS], *result = NULL;
    PyArrayObject *x = NULL, *mean = NULL, *cov = NULL, *centred = NULL;
    size_t threads = 0;
    int want_cov = 0, want_centred = 0;
    ek_status st;
    (void)mod;
    if (ekpy_bind(&sig, args, nargs, kw, a) < 0 ||
        ekpy_bool(&sig, a[1], "covariance", &want_cov) < 0 ||
        ekpy_bool(&sig, a[2], "centred", &want_centred) < 0 ||
        ekpy_size(&sig, a[3], "threads", 0, &threads) < 0)
        return NULL;
    const int type = ekpy_float_type(&sig, a[0], "x");
    if (type < 0 || (x = ekpy_in(&sig, a[0], type, 2, 2, "x")) == NULL) goto done;
    const npy_intp *dims = PyArray_DIMS(x), square[] = {dims[1], dims[1]};
    if ((mean = ekpy_out(&sig, NULL, NPY_DOUBLE, 1, dims + 1, "out")) == NULL) goto done;
    if (want_cov && (cov = ekpy_out(&sig, NULL, NPY_DOUBLE, 2, square, "out")) == NULL) goto done;
    if (want_centred && (centred = ekpy_out(&sig, NULL, NPY_DOUBLE, 2, dims, "out")) == NULL)
        goto done;
    double *c = cov ? PyArray_DATA(cov) : NULL, *z = centred ? PyArray_DATA(centred) : NULL;
    EKPY_RUN(st, threads,
             type == NPY_DOUBLE ? ek_metric_moments_f64(PyArray_DATA(x), (size_t)dims[0],
                                                        (size_t)dims[1], PyArray_DATA(mean), c, z)
                                : ek_metric_moments_f32(PyArray_DATA(x), (size_t)dims[0],
                                                        (size_t)dims[1], PyArray_DATA(mean), c, z));
    if (st == EK_OK)
        result = Py_BuildValue("(OOO)", mean, cov ? (PyObject *)cov : Py_None,
                               centred ? (PyObject *)centred : Py_None);
    else
        ekpy_raise(st, &sig);
done:
    Py_XDECREF((PyObject *)x);
    Py_XDECREF((PyObject *)mean);
    Py_XDECREF((PyObject *)cov);
    Py_XDECREF((PyObject *)centred);
    return result;
}

static void refuse(ek_status st, const ekpy_sig *sig) {
    if (st == EK_EVALUE)
        ekpy_error("MetricError", "a covariance has an eigenvalue below zero by more than 1e-6 of "
                                  "its largest: it is not positive semi-definite; check how it "
                                  "was made");
    else
        ekpy_raise(st, sig);
}

static PyObject *py_metric_root_trace(PyObject *mod, PyObject *const *args, Py_ssize_t nargs,
                                      PyObject *kw) {
    static const ekpy_sig sig = {
        "metric_root_trace", {"s1", "s2", NULL},
         2
    };
    PyObject *a[EKPY_MAX_ARGS], *result = NULL;
    PyArrayObject *s1 = NULL, *s2 = NULL;
    ek_metric_root root;
    ek_status st;
    (void)mod;
    if (ekpy_bind(&sig, args, nargs, kw, a) < 0) return NULL;
    if ((s1 = ekpy_in(&sig, a[0], NPY_DOUBLE, 2, 2, "s1")) == NULL) goto done;
    if ((s2 = ekpy_in(&sig, a[1], NPY_DOUBLE, 2, 2, "s2")) == NULL) goto done;
    if (ekpy_same_dim(&sig, s1, 0, s1, 1, "s1's sides") < 0 ||
        ekpy_same_dim(&sig, s1, 0, s2, 0, "s1 and s2") < 0 ||
        ekpy_same_dim(&sig, s1, 1, s2, 1, "s1 and s2") < 0)
        goto done;
    EKPY_RUN(st, 0,
             ek_metric_root_trace(PyArray_DATA(s1), PyArray_DATA(s2), ekpy_dims(s1, 0, 1), &root));
    if (st == EK_OK)
        result = Py_BuildValue("(ddnni)", root.trace, root.clipped, (Py_ssize_t)root.rank1,
                               (Py_ssize_t)root.rank2, root.full);
    else
        refuse(st, &sig);
done:
    Py_XDECREF((PyObject *)s1);
    Py_XDECREF((PyObject *)s2);
    return result;
}

static PyObject *py_metric_factor(PyObject *mod, PyObject *const *args, Py_ssize_t nargs,
                                  PyObject *kw) {
    static const ekpy_sig sig = {
        "metric_factor", {"s", NULL},
         1
    };
    PyObject *a[EKPY_MAX_ARGS], *result = NULL;
    PyArrayObject *s = NULL, *f = NULL;
    size_t rank = 0;
    double clipped = 0.0;
    ek_status st;
    (void)mod;
    if (ekpy_bind(&sig, args, nargs, kw, a) < 0) return NULL;
    if ((s = ekpy_in(&sig, a[0], NPY_DOUBLE, 2, 2, "s")) == NULL) goto done;
    if (ekpy_same_dim(&sig, s, 0, s, 1, "s's sides") < 0) goto done;
    if ((f = ekpy_out(&sig, NULL, NPY_DOUBLE, 2, PyArray_DIMS(s), "out")) == NULL) goto done;
    EKPY_RUN(st, 0,
             ek_metric_factor(PyArray_DATA(s), ekpy_dims(s, 0, 1), PyArray_DATA(f), &rank,
                              &clipped));
    if (st == EK_OK)
        result = Py_BuildValue("(Ond)", f, (Py_ssize_t)rank, clipped);
    else
        refuse(st, &sig);
done:
    Py_XDECREF((PyObject *)s);
    Py_XDECREF((PyObject *)f);
    return result;
}

static PyObject *py_metric_nuclear(PyObject *mod, PyObject *const *args, Py_ssize_t nargs,
                                   PyObject *kw) {
    static const ekpy_sig sig = {
        "metric_nuclear", {"f1", "f2", NULL},
         2
    };
    PyObject *a[EKPY_MAX_ARGS], *result = NULL;
    PyArrayObject *f1 = NULL, *f2 = NULL;
    double trace = 0.0;
    ek_status st;
    (void)mod;
    if (ekpy_bind(&sig, args, nargs, kw, a) < 0) return NULL;
    if ((f1 = ekpy_in(&sig, a[0], NPY_DOUBLE, 2, 2, "f1")) == NULL) goto done;
    if ((f2 = ekpy_in(&sig, a[1], NPY_DOUBLE, 2, 2, "f2")) == NULL) goto done;
    if (ekpy_same_dim(&sig, f1, 1, f2, 1, "f1 and f2") < 0) goto done;
    EKPY_RUN(st, 0,
             ek_metric_nuclear(PyArray_DATA(f1), ekpy_dims(f1, 0, 1), PyArray_DATA(f2),
                               ekpy_dims(f2, 0, 1), ekpy_dims(f1, 1, 2), &trace));
    if (st == EK_OK)
        result = PyFloat_FromDouble(trace);
    else
        refuse(st, &sig);
done:
    Py_XDECREF((PyObject *)f1);
    Py_XDECREF((PyObject *)f2);
    return result;
}

static PyObject *py_metric_cubic_sum(PyObject *mod, PyObject *const *args, Py_ssize_t nargs,
                                     PyObject *kw) {
    static const ekpy_sig sig = {
        "metric_cubic_sum", {"x", "y", "gamma", "coef", "threads", NULL},
         4
    };
    PyObject *a[EKPY_MAX_ARGS], *result = NULL;
    PyArrayObject *x = NULL, *y = NULL;
    double gamma = 0.0, coef = 0.0, sum = 0.0;
    size_t threads = 0;
    ek_status st;
    (void)mod;
    if (ekpy_bind(&sig, args, nargs, kw, a) < 0 || ekpy_double(&sig, a[2], "gamma", &gamma) < 0 ||
        ekpy_double(&sig, a[3], "coef", &coef) < 0 ||
        ekpy_size(&sig, a[4], "threads", 0, &threads) < 0)
        return NULL;
    if ((x = ekpy_in(&sig, a[0], NPY_DOUBLE, 2, 2, "x")) == NULL) goto done;
    /* None: the pairs of x with itself, without its own */
    const int same = a[1] == Py_None;
    y = same ? (PyArrayObject *)Py_NewRef((PyObject *)x)
             : ekpy_in(&sig, a[1], NPY_DOUBLE, 2, 2, "y");
    if (y == NULL || ekpy_same_dim(&sig, x, 1, y, 1, "x and y") < 0) goto done;
    EKPY_RUN(st, threads,
             ek_metric_cubic_sum(PyArray_DATA(x), ekpy_dims(x, 0, 1), PyArray_DATA(y),
                                 ekpy_dims(y, 0, 1), ekpy_dims(x, 1, 2), same, gamma, coef, &sum));
    if (st == EK_OK)
        result = PyFloat_FromDouble(sum);
    else
        ekpy_raise(st, &sig);
done:
    Py_XDECREF((PyObject *)x);
    Py_XDECREF((PyObject *)y);
    return result;
}

PyMethodDef ekpy_metric_gaussian_methods[] = {
    EKPY_METHOD("metric_moments", py_metric_moments),
    EKPY_METHOD("metric_root_trace", py_metric_root_trace),
    EKPY_METHOD("metric_factor", py_metric_factor),
    EKPY_METHOD("metric_nuclear", py_metric_nuclear),
    EKPY_METHOD("metric_cubic_sum", py_metric_cubic_sum),
    {NULL, NULL, 0, NULL},
};
