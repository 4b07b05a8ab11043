"""Another source of images and labels taken into the sample table, as one version: see `plan.merge_plan`."""
