# The first process of Ray's containers: starts Ray, hands SIGTERM on to it, and buries orphans, as a machine's init does.
# Else what is left of a job that was stopped would never vanish, and Ray would wait for it as long as it may.
ulimit -Sn 65536 2>/dev/null || ulimit -Sn "$(ulimit -Hn)"
eval "exec $KUBERAY_GEN_RAY_START_CMD" &
ray=$!
trap 'kill -TERM $ray' TERM
wait $ray
code=$?
# A signal ends `wait` too; Ray takes its time to end.
while kill -0 $ray 2>/dev/null; do
    wait $ray
    code=$?
done
exit $code
