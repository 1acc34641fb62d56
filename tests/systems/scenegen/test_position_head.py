"""The position head: each asset alone, scales that cannot be negative, and attention without queries and keys."""

import torch

from scenewright.sparse.attention import Sequences
from scenewright.systems.scenegen.position_head import IDENTITY_POSE, PositionHead, with_query_at_identity
from tests.tiny_scenegen import tiny_flow, tiny_flow_config


def test_a_lone_token_attends_to_itself() -> None:
    block = tiny_flow().position_head.trunk[0]
    x = torch.randn(5, 32)
    with torch.no_grad():
        torch.testing.assert_close(block.attend(x), block.attn(x, Sequences.uniform(5, 1)), rtol=1e-5, atol=1e-5)


def test_poses_depend_on_their_own_token_only() -> None:
    head, tokens = tiny_flow().position_head, torch.randn(6, 32)
    with torch.no_grad():
        poses = head(tokens)
        torch.testing.assert_close(poses[3:4], head(tokens[3:4]), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(poses.flip(0), head(tokens.flip(0)), rtol=1e-4, atol=1e-5)
    assert (poses[:, 7] >= 0).all()


def test_gradients_flow_through_all_refinements() -> None:
    head = PositionHead(tiny_flow_config())
    head.initialize_weights()
    head(torch.randn(3, 32)).square().sum().backward()
    assert head.empty_pose_tokens.grad is not None
    assert head.empty_pose_tokens.grad.abs().sum() > 0


def test_the_query_stands_at_the_identity() -> None:
    poses = torch.randn(3, 8)
    fixed = with_query_at_identity(poses)
    assert tuple(fixed[0].tolist()) == IDENTITY_POSE
    assert torch.equal(fixed[1:], poses[1:])
