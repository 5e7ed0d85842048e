/* Errors of signals and similarity of images. */
#include "ekpy.h"
#include "ek_metric.h"

static PyObject *py_metric_rows(PyObject *mod, PyObject *const *args, Py_ssize_t nargs,
                                PyObject *kw) {
    static const ekpy_sig sig = {
        "metric_rows", {"x", "y", "about", "threads", NULL},
         2
    };
    PyObject *a[EKPY_MAX_ARGS];
    PyArrayObject *x = NULL, *y = NULL, *out = NULL;
    size_t threads = 0;
    int about = 1;
    ek_status st;
    (void)mod;
    if (ekpy_bind(&sig, args, nargs, kw, a) < 0 || ekpy_bool(&sig, a[2], "about", &about) < 0 ||
        ekpy_size(&sig, a[3], "threads", 0, &threads) < 0)
        return NULL;
    const int tx = ekpy_float_type(&sig, a[0], "x"), ty = ekpy_float_type(&sig, a[1], "y");
    if (tx < 0 || ty < 0) return NULL;
    const int type = tx == NPY_DOUBLE ? tx : ty;
    if ((x = ekpy_in(&sig, a[0], type, 2, 2, "x")) == NULL) goto done;
    if ((y = ekpy_in(&sig, a[1], type, 2, 2, "y")) == NULL) goto done;
    if (ekpy_same_dim(&sig, x, 0, y, 0, "x and y") < 0 ||
        ekpy_same_dim(&sig, x, 1, y, 1, "x and y") < 0)
        goto done;
    const size_t n = ekpy_dims(x, 0, 1), t = ekpy_dims(x, 1, 2);
    const npy_intp shape[] = {(npy_intp)n, 5};
    if ((out = ekpy_out(&sig, NULL, NPY_DOUBLE, 2, shape, "out")) == NULL) goto done;
    EKPY_RUN(st, threads,
             type == NPY_DOUBLE ? ek_metric_rows_f64(PyArray_DATA(x), PyArray_DATA(y), n, t, about,
                                                     PyArray_DATA(out))
                                : ek_metric_rows_f32(PyArray_DATA(x), PyArray_DATA(y), n, t, about,
                                                     PyArray_DATA(out)));
    if (st != EK_OK) {
        Py_CLEAR(out);
        ekpy_raise(st, &sig);
    }
done:
    Py_XDECREF((PyObject *)x);
    Py_XDECREF((PyObject *)y);
    return (PyObject *)out;
}

static PyObject *py_metric_ssim(PyObject *mod, PyObject *const *args, Py_ssize_t nargs,
                                PyObject *kw) {
    static const ekpy_sig sig = {
        "metric_ssim", {"x", "y", "weight", "norm", "c1", "c2", "threads", NULL},
         6
    };
    PyObject *a[EKPY_MAX_ARGS];
    PyArrayObject *x = NULL, *y = NULL, *g = NULL, *out = NULL;
    ek_metric_ssim s = {0};
    size_t threads = 0;
    ek_status st;
    (void)mod;
    if (ekpy_bind(&sig, args, nargs, kw, a) < 0 || ekpy_double(&sig, a[3], "norm", &s.norm) < 0 ||
        ekpy_double(&sig, a[4], "c1", &s.c1) < 0 || ekpy_double(&sig, a[5], "c2", &s.c2) < 0 ||
        ekpy_size(&sig, a[6], "threads", 0, &threads) < 0)
        return NULL;
    if ((x = ekpy_in(&sig, a[0], NPY_DOUBLE, 3, 3, "x")) == NULL) goto done;
    if ((y = ekpy_in(&sig, a[1], NPY_DOUBLE, 3, 3, "y")) == NULL) goto done;
    if ((g = ekpy_in(&sig, a[2], NPY_DOUBLE, 1, 1, "weight")) == NULL) goto done;
    for (int k = 0; k < 3; k++)
        if (ekpy_same_dim(&sig, x, k, y, k, "x and y") < 0) goto done;
    if ((out = ekpy_out(&sig, NULL, NPY_DOUBLE, 1, PyArray_DIMS(x), "out")) == NULL) goto done;
    s.weight = PyArray_DATA(g);
    s.taps = ekpy_dims(g, 0, 1);
    s.h = ekpy_dims(x, 1, 2);
    s.w = ekpy_dims(x, 2, 3);
    EKPY_RUN(st, threads,
             ek_metric_ssim_f64(&s, PyArray_DATA(x), PyArray_DATA(y), ekpy_dims(x, 0, 1),
                                PyArray_DATA(out)));
    if (st != EK_OK) {
        Py_CLEAR(out);
        ekpy_raise(st, &sig);
    }
done:
    Py_XDECREF((PyObject *)x);
    Py_XDECREF((PyObject *)y);
    Py_XDECREF((PyObject *)g);
    return (PyObject *)out;
}

PyMethodDef ekpy_metric_signal_methods[] = {
    EKPY_METHOD("metric_rows", py_metric_rows),
    EKPY_METHOD("metric_ssim", py_metric_ssim),
    {NULL, NULL, 0, NULL},
};
