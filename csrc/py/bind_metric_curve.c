/* Distances of curves. */
#include "ekpy.h"
#include "ek_metric.h"
#include <math.h>

static PyObject *py_metric_frechet(PyObject *mod, PyObject *const *args, Py_ssize_t nargs,
                                   PyObject *kw) {
    static const ekpy_sig sig = {
        "metric_frechet", {"p", "q", "scale", "band", "limit", "out", "threads", NULL},
         2
    };
    PyObject *a[EKPY_MAX_ARGS];
    PyArrayObject *p = NULL, *q = NULL, *out = NULL;
    size_t threads = 0, band = SIZE_MAX / 4;
    double scale = -1.0, limit = INFINITY;
    ek_status st;
    (void)mod;
    if (ekpy_bind(&sig, args, nargs, kw, a) < 0 || ekpy_double(&sig, a[2], "scale", &scale) < 0 ||
        ekpy_size(&sig, a[3], "band", 0, &band) < 0 ||
        ekpy_double(&sig, a[4], "limit", &limit) < 0 ||
        ekpy_size(&sig, a[6], "threads", 0, &threads) < 0)
        return NULL;
    const int tp = ekpy_float_type(&sig, a[0], "p"), tq = ekpy_float_type(&sig, a[1], "q");
    if (tp < 0 || tq < 0) return NULL;
    const int type = tp == NPY_DOUBLE ? tp : tq;
    if ((p = ekpy_in(&sig, a[0], type, 2, 2, "p")) == NULL) goto done;
    if ((q = ekpy_in(&sig, a[1], type, 2, 2, "q")) == NULL) goto done;
    const npy_intp *rp = PyArray_DIMS(p), *rq = PyArray_DIMS(q);
    const npy_intp pairs[] = {rp[0] == 1 ? rq[0] : rp[0]};
    if (rp[0] != 1 && rq[0] != 1 && ekpy_same_dim(&sig, p, 0, q, 0, "p and q") < 0) goto done;
    if ((out = ekpy_out(&sig, a[5], type, 1, pairs, "out")) == NULL) goto done;
    const size_t n = (size_t)rp[1], m = (size_t)rq[1];
    const size_t sp = rp[0] == 1 ? 0 : n, sq = rq[0] == 1 ? 0 : m;
    if (band > n + m) band = n + m;
    EKPY_RUN(st, threads,
             type == NPY_DOUBLE
                 ? ek_metric_frechet_f64(PyArray_DATA(p), sp, n, PyArray_DATA(q), sq, m,
                                         (size_t)pairs[0], scale, band, limit, PyArray_DATA(out))
                 : ek_metric_frechet_f32(PyArray_DATA(p), sp, n, PyArray_DATA(q), sq, m,
                                         (size_t)pairs[0], scale, band, limit, PyArray_DATA(out)));
    if (st != EK_OK) {
        Py_CLEAR(out);
        ekpy_raise(st, &sig);
    }
done:
    Py_XDECREF((PyObject *)p);
    Py_XDECREF((PyObject *)q);
    return (PyObject *)out;
}

static PyObject *py_metric_coupling(PyObject *mod, PyObject *const *args, Py_ssize_t nargs,
                                    PyObject *kw) {
    static const ekpy_sig sig = {
        "metric_coupling", {"p", "q", "scale", NULL},
         2
    };
    PyObject *a[EKPY_MAX_ARGS], *result = NULL;
    PyArrayObject *p = NULL, *q = NULL, *path = NULL;
    double scale = -1.0;
    size_t length = 0;
    ek_status st;
    (void)mod;
    if (ekpy_bind(&sig, args, nargs, kw, a) < 0 || ekpy_double(&sig, a[2], "scale", &scale) < 0)
        return NULL;
    if ((p = ekpy_in(&sig, a[0], NPY_DOUBLE, 1, 1, "p")) == NULL) goto done;
    if ((q = ekpy_in(&sig, a[1], NPY_DOUBLE, 1, 1, "q")) == NULL) goto done;
    const size_t n = ekpy_dims(p, 0, 1), m = ekpy_dims(q, 0, 1);
    const npy_intp shape[] = {(npy_intp)(n + m), 2};
    if ((path = ekpy_out(&sig, NULL, NPY_INT64, 2, shape, "out")) == NULL) goto done;
    EKPY_RUN(st, 0,
             ek_metric_coupling(PyArray_DATA(p), n, PyArray_DATA(q), m, scale, PyArray_DATA(path),
                                &length));
    if (st == EK_OK)
        result = Py_BuildValue("(On)", path, (Py_ssize_t)length);
    else
        ekpy_raise(st, &sig);
done:
    Py_XDECREF((PyObject *)p);
    Py_XDECREF((PyObject *)q);
    Py_XDECREF((PyObject *)path);
    return result;
}

PyMethodDef ekpy_metric_curve_methods[] = {
    EKPY_METHOD("metric_frechet", py_metric_frechet),
    EKPY_METHOD("metric_coupling", py_metric_coupling),
    {NULL, NULL, 0, NULL},
};
