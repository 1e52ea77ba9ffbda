"""Mail, Slack and calendar in; one page with the plan of a day out."""
