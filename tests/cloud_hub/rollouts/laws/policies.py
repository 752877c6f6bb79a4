"""Policies of every kind, for rollouts that people start at random."""

from hypothesis import strategies as st

from cloud_hub.rollouts.policy import Policy

POLICIES = st.builds(
    Policy.model_validate,
    st.fixed_dictionaries(
        {
            "waves": st.sampled_from(
                [
                    [{"devices": 1}, {"percent": 50}, {"percent": 100}],
                    [{"percent": 1}, {"percent": 5}, {"percent": 25}, {"percent": 100}],
                    [{"devices": 2}],
                    [{"percent": 100}],
                ]
            ),
            "selector": st.sampled_from(["", "target = cpu-vnni", "site = a"]),
            "success_percent": st.sampled_from([50, 95, 100]),
            "stop_failed_percent": st.sampled_from([0, 5, 50]),
            "soak_seconds": st.sampled_from([0, 60]),
            "minimum_records": st.sampled_from([0, 200]),
            "heard_percent": st.sampled_from([0, 50, 100]),
            "minimum_devices": st.sampled_from([1, 3]),
            "stop_failed_after": st.sampled_from([1, 3]),
            "lab": st.sampled_from([None, None, "site = a"]),
            "approval": st.sampled_from([{}, {}, {"waves": "all"}, {"waves": "after-first", "second_person": True}]),
            "on_stop": st.sampled_from(["revert", "pause"]),
            "rate": st.sampled_from(
                [
                    None,
                    None,
                    {"devices_per_minute": 2, "growth_factor": 2},
                    {"devices_per_minute": 0.5},
                    {"devices_per_minute": 1, "until_proven": True},
                ]
            ),
            "max_in_flight": st.sampled_from([None, None, 1, 3]),
            "group": st.sampled_from([None, None, {"label": "pair"}]),
            "deadline_seconds": st.sampled_from([None, 30, 300]),
        }
    ),
)
