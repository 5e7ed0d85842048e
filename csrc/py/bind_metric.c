/* Figures of ranked scores. */
#include "ekpy.h"
#include "ek_metric.h"

/* An array of exactly this type: orders, labels and indices come from our own Python. */
static PyArrayObject *exact(const ekpy_sig *sig, PyObject *o, int type, int nd, const char *arg) {
    PyArrayObject *x = (PyArrayObject *)o;
    if (!PyArray_Check(o) || PyArray_TYPE(x) != type || PyArray_NDIM(x) != nd ||
        !PyArray_ISCARRAY_RO(x)) {
        PyErr_Format(PyExc_TypeError, "%s: %s must be a C-contiguous array of its own type",
                     sig->name, arg);
        return NULL;
    }
    return x;
}

static PyObject *finish(ek_status st, const ekpy_sig *sig, PyArrayObject *out) {
    if (st != EK_OK) {
        Py_CLEAR(out);
        ekpy_raise(st, sig);
    }
    return (PyObject *)out;
}

static PyObject *py_metric_order(PyObject *mod, PyObject *const *args, Py_ssize_t nargs,
                                 PyObject *kw) {
    static const ekpy_sig sig = {
        "metric_order", {"y", "s", "threads", NULL},
         2
    };
    PyObject *a[EKPY_MAX_ARGS];
    PyArrayObject *y = NULL, *s = NULL, *out = NULL;
    size_t threads = 0;
    ek_status st = EK_OK;
    (void)mod;
    if (ekpy_bind(&sig, args, nargs, kw, a) < 0) return NULL;
    if (ekpy_size(&sig, a[2], "threads", 0, &threads) < 0) return NULL;
    if (a[0] != Py_None && (y = exact(&sig, a[0], NPY_UINT8, 2, "y")) == NULL) return NULL;
    const int type = ekpy_float_type(&sig, a[1], "s");
    if (type < 0 || (s = ekpy_in(&sig, a[1], type, 2, 2, "s")) == NULL) return NULL;
    if (y && (ekpy_same_dim(&sig, y, 0, s, 0, "y and s") < 0 ||
              ekpy_same_dim(&sig, y, 1, s, 1, "y and s") < 0))
        goto done;
    const uint8_t *labels = y ? PyArray_DATA(y) : NULL;
    const size_t n = ekpy_dims(s, 0, 1), c = ekpy_dims(s, 1, 2);
    const npy_intp shape[] = {(npy_intp)c, (npy_intp)n};
    if ((out = ekpy_out(&sig, NULL, NPY_UINT32, 2, shape, "out")) == NULL) goto done;
    EKPY_RUN(st, threads,
             type == NPY_DOUBLE
                 ? ek_metric_order_f64(labels, PyArray_DATA(s), n, c, PyArray_DATA(out))
                 : ek_metric_order_f32(labels, PyArray_DATA(s), n, c, PyArray_DATA(out)));
    if (st == EK_EVALUE) {
        Py_CLEAR(out);
        ekpy_error("MetricError", "scores hold NaN; a model that gives NaN cannot be ranked: "
                                  "find the records, or leave them out");
        goto done;
    }
    out = (PyArrayObject *)finish(st, &sig, out);
done:
    Py_XDECREF((PyObject *)s);
    return (PyObject *)out;
}

static PyObject *py_metric_rank(PyObject *mod, PyObject *const *args, Py_ssize_t nargs,
                                PyObject *kw) {
    static const ekpy_sig sig = {
        "metric_rank", {"order", "figure", "threads", NULL},
         2
    };
    static const char *const figures[] = {"auroc", "average_precision", NULL};
    PyObject *a[EKPY_MAX_ARGS];
    PyArrayObject *order, *out;
    size_t threads = 0;
    int figure = 0;
    ek_status st;
    (void)mod;
    if (ekpy_bind(&sig, args, nargs, kw, a) < 0 ||
        ekpy_choice(&sig, a[1], "figure", figures, &figure) < 0 ||
        ekpy_size(&sig, a[2], "threads", 0, &threads) < 0 ||
        (order = exact(&sig, a[0], NPY_UINT32, 2, "order")) == NULL)
        return NULL;
    if ((out = ekpy_out(&sig, NULL, NPY_DOUBLE, 1, PyArray_DIMS(order), "out")) == NULL)
        return NULL;
    EKPY_RUN(st, threads,
             (figure == EK_FIGURE_AUROC
                  ? ek_metric_auroc
                  : ek_metric_average_precision)(PyArray_DATA(order), ekpy_dims(order, 1, 2),
                                                 ekpy_dims(order, 0, 1), PyArray_DATA(out)));
    return finish(st, &sig, out);
}

static PyObject *py_metric_delong(PyObject *mod, PyObject *const *args, Py_ssize_t nargs,
                                  PyObject *kw) {
    static const ekpy_sig sig = {
        "metric_delong", {"order", "threads", NULL},
         1
    };
    PyObject *a[EKPY_MAX_ARGS];
    PyArrayObject *order, *area = NULL, *phi = NULL;
    size_t threads = 0;
    ek_status st;
    (void)mod;
    if (ekpy_bind(&sig, args, nargs, kw, a) < 0 ||
        ekpy_size(&sig, a[1], "threads", 0, &threads) < 0 ||
        (order = exact(&sig, a[0], NPY_UINT32, 2, "order")) == NULL)
        return NULL;
    area = ekpy_out(&sig, NULL, NPY_DOUBLE, 1, PyArray_DIMS(order), "area");
    phi = ekpy_out(&sig, NULL, NPY_DOUBLE, 2, PyArray_DIMS(order), "phi");
    if (area == NULL || phi == NULL) goto failed;
    EKPY_RUN(st, threads,
             ek_metric_delong(PyArray_DATA(order), ekpy_dims(order, 1, 2), ekpy_dims(order, 0, 1),
                              PyArray_DATA(area), PyArray_DATA(phi)));
    if (st == EK_OK) return Py_BuildValue("(NN)", area, phi);
    ekpy_raise(st, &sig);
failed:
    Py_XDECREF((PyObject *)area);
    Py_XDECREF((PyObject *)phi);
    return NULL;
}

static PyObject *py_metric_resample(PyObject *mod, PyObject *const *args, Py_ssize_t nargs,
                                    PyObject *kw) {
    static const ekpy_sig sig = {
        "metric_resample", {"order", "index", "figure", "member", "units", "threads", NULL},
         3
    };
    static const char *const figures[] = {"auroc", "average_precision", NULL};
    PyObject *a[EKPY_MAX_ARGS];
    PyArrayObject *order, *index, *member = NULL, *out;
    size_t threads = 0;
    int figure = 0;
    ek_status st;
    (void)mod;
    if (ekpy_bind(&sig, args, nargs, kw, a) < 0 ||
        ekpy_choice(&sig, a[2], "figure", figures, &figure) < 0 ||
        (order = exact(&sig, a[0], NPY_UINT32, 2, "order")) == NULL ||
        (index = exact(&sig, a[1], NPY_INT32, 2, "index")) == NULL ||
        (a[3] && (member = exact(&sig, a[3], NPY_INT32, 1, "member")) == NULL))
        return NULL;
    const size_t n = ekpy_dims(order, 1, 2), c = ekpy_dims(order, 0, 1);
    size_t units = n;
    if (ekpy_size(&sig, a[4], "units", 1, &units) < 0 ||
        ekpy_size(&sig, a[5], "threads", 0, &threads) < 0 ||
        (member && ekpy_same_dim(&sig, member, 0, order, 1, "member and order") < 0))
        return NULL;
    const npy_intp shape[] = {PyArray_DIM(index, 0), (npy_intp)c};
    if ((out = ekpy_out(&sig, NULL, NPY_DOUBLE, 2, shape, "out")) == NULL) return NULL;
    EKPY_RUN(st, threads,
             ek_metric_resample((ek_metric_figure)figure, PyArray_DATA(order), n, c,
                                PyArray_DATA(index), ekpy_dims(index, 0, 1), ekpy_dims(index, 1, 2),
                                member ? PyArray_DATA(member) : NULL, units, PyArray_DATA(out)));
    if (st == EK_EVALUE) {
        Py_DECREF((PyObject *)out);
        ekpy_error("MetricError", "indices must lie in 0..%zu, one per record or unit drawn",
                   units - 1);
        return NULL;
    }
    return finish(st, &sig, out);
}

static PyObject *py_metric_rank_sums(PyObject *mod, PyObject *const *args, Py_ssize_t nargs,
                                     PyObject *kw) {
    static const ekpy_sig sig = {
        "metric_rank_sums", {"order", "start", "cases", "threads", NULL},
         3
    };
    PyObject *a[EKPY_MAX_ARGS];
    PyArrayObject *order, *start, *cases, *out = NULL, *ties = NULL;
    size_t threads = 0;
    ek_status st;
    (void)mod;
    if (ekpy_bind(&sig, args, nargs, kw, a) < 0 ||
        ekpy_size(&sig, a[3], "threads", 0, &threads) < 0 ||
        (order = exact(&sig, a[0], NPY_UINT32, 2, "order")) == NULL ||
        (start = exact(&sig, a[1], NPY_INT64, 1, "start")) == NULL ||
        (cases = exact(&sig, a[2], NPY_INT32, 1, "cases")) == NULL)
        return NULL;
    const size_t p = ekpy_dims(order, 0, 1), n = ekpy_dims(order, 1, 2);
    const size_t d = ekpy_dims(start, 0, 1) - 1;
    const int64_t *ends = PyArray_DATA(start);
    if (ekpy_dims(start, 0, 1) == 0 || ends[d] != (int64_t)ekpy_dims(cases, 0, 1)) {
        PyErr_SetString(PyExc_ValueError, "metric_rank_sums: start must end at the cases' number");
        return NULL;
    }
    const npy_intp shape[] = {(npy_intp)p, (npy_intp)d};
    out = ekpy_out(&sig, NULL, NPY_DOUBLE, 2, shape, "out");
    ties = ekpy_out(&sig, NULL, NPY_DOUBLE, 1, shape, "ties");
    if (out == NULL || ties == NULL) goto failed;
    EKPY_RUN(st, threads,
             ek_metric_rank_sums(PyArray_DATA(order), n, p, ends, PyArray_DATA(cases), d,
                                 PyArray_DATA(out), PyArray_DATA(ties)));
    if (st == EK_OK) return Py_BuildValue("(NN)", out, ties);
    ekpy_raise(st, &sig);
failed:
    Py_XDECREF((PyObject *)out);
    Py_XDECREF((PyObject *)ties);
    return NULL;
}

static PyObject *py_metric_class_sums(PyObject *mod, PyObject *const *args, Py_ssize_t nargs,
                                      PyObject *kw) {
    static const ekpy_sig sig = {
        "metric_class_sums", {"x", "member", "classes", "threads", NULL},
         3
    };
    PyObject *a[EKPY_MAX_ARGS], *result = NULL;
    PyArrayObject *x = NULL, *member = NULL, *length = NULL, *sums = NULL;
    size_t threads = 0, k = 0;
    ek_status st;
    (void)mod;
    if (ekpy_bind(&sig, args, nargs, kw, a) < 0 || ekpy_size(&sig, a[2], "classes", 1, &k) < 0 ||
        ekpy_size(&sig, a[3], "threads", 0, &threads) < 0 ||
        (member = exact(&sig, a[1], NPY_INT64, 1, "member")) == NULL ||
        (x = ekpy_in(&sig, a[0], NPY_DOUBLE, 2, 2, "x")) == NULL)
        return NULL;
    if (ekpy_same_dim(&sig, x, 0, member, 0, "x and member") < 0) goto done;
    const npy_intp rows[] = {PyArray_DIM(x, 0)}, shape[] = {(npy_intp)k, PyArray_DIM(x, 1)};
    if ((length = ekpy_out(&sig, NULL, NPY_DOUBLE, 1, rows, "length")) == NULL) goto done;
    if ((sums = ekpy_out(&sig, NULL, NPY_DOUBLE, 2, shape, "sums")) == NULL) goto done;
    EKPY_RUN(st, threads,
             ek_metric_class_sums(PyArray_DATA(x), ekpy_dims(x, 0, 1), ekpy_dims(x, 1, 2),
                                  PyArray_DATA(member), k, PyArray_DATA(length),
                                  PyArray_DATA(sums)));
    if (st == EK_OK)
        result = Py_BuildValue("(OO)", length, sums);
    else if (st == EK_EVALUE)
        ekpy_error("MetricError", "a prototype is zero or not finite: its angle is not defined");
    else
        ekpy_raise(st, &sig);
done:
    Py_DECREF((PyObject *)x);
    Py_XDECREF((PyObject *)length);
    Py_XDECREF((PyObject *)sums);
    return result;
}

PyMethodDef ekpy_metric_methods[] = {
    EKPY_METHOD("metric_order", py_metric_order),
    EKPY_METHOD("metric_rank", py_metric_rank),
    EKPY_METHOD("metric_delong", py_metric_delong),
    EKPY_METHOD("metric_resample", py_metric_resample),
    EKPY_METHOD("metric_rank_sums", py_metric_rank_sums),
    EKPY_METHOD("metric_class_sums", py_metric_class_sums),
    {NULL, NULL, 0, NULL},
};
