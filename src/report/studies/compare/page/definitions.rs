//! Definitions of the figures on a page.

/// Returns the definitions of all figures, the page's last section.
pub(in crate::report::studies) const DEFINITIONS: &str = "\
<h2>How it was counted</h2>
<details>
<summary>Definitions of the figures</summary>
<dl>
<dt>TTFT, TBT, E2E</dt><dd>Of a finished request: seconds from its arrival to the first token; mean seconds between its tokens;
seconds from its arrival to the last token.</dd>
<dt>P50, P90, P99</dt><dd>Percentiles over the finished requests of a run, linear between the two nearest ranks, as numpy has
them. Means over traces are means of these.</dd>
<dt>slowdown, slowdown limit</dt><dd>The same times as multiples of what the request would take on an unloaded instance. The red
lines are the largest slowdowns that the Splitwise study allows; they are not the SLO.</dd>
<dt>SLO, missed</dt><dd>The SLO is the run's own time limits for TTFT, TBT and E2E. A request misses it if it did not finish or
kept one of them not. The share is of all requests that arrived, so a run that loses requests cannot look good by it.</dd>
<dt>throughput, goodput</dt><dd>Requests that finished, and those that finished and met the SLO, per second of the simulation.</dd>
<dt>instance-hours, GPU-hours, cost</dt><dd>From asking for an instance until it was given back: start-up and draining are
paid.</dd>
<dt>scaling events</dt><dd>Times at which the cluster changed its size, whatever the number of instances and in whichever
direction: an autoscaler's decisions where there is one, else instances asked for or taken out of service.</dd>
<dt>flaps</dt><dd>A fleet (all instances of one role) that turns from growing to shrinking, or back, within 300 seconds.</dd>
<dt>P/D ratio</dt><dd>Ready prefill instances for each ready decode instance. Its mean and variance weigh each value by how long
it held; times without a ready decode instance count for nothing.</dd>
<dt>in service</dt><dd>Ready, and neither parked nor draining.</dd>
<dt>Pareto front</dt><dd>Policies that no other beats both in cost and in missed requests.</dd>
<dt>change, p, in words</dt><dd>Against the first policy, with 95 % intervals in brackets: over the P90 of several seeds
(paired), or over single requests where there is one seed. p is corrected for the number of comparisons (Holm). Runs that did the
same bit by bit are said to be equal, and a difference under 1 % and under 1 ms is not a finding, however sure it is. Requests
wait for each other, so comparisons over requests look surer than they are.</dd>
<dt>-</dt><dd>There are no values: nothing finished, nothing arrived, or the run's files do not tell.</dd>
</dl>
</details>
";
